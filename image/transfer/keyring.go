package transfer

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"
	"golang.org/x/sys/unix"

	"sbx/api"
)

// keyring finds the credentials for a registry in the places where podman and
// docker keep them: containers-auth.json(5), docker's config.json, credential
// helpers.
type keyring struct {
	given    *types.DockerAuthConfig // --creds: no other place is asked
	files    []string                // in order of preference
	explicit bool                    // the user named the one file
	helpers  []string                // of registries.conf
	path     string                  // $PATH for helpers
	empty    string                  // a directory without registries.conf files
}

// authFile is containers-auth.json(5) and the part of docker's config.json that
// has the same form, with credsStore, which only docker writes.
type authFile struct {
	Auths       map[string]authEntry `json:"auths"`
	CredHelpers map[string]string    `json:"credHelpers"`
	CredsStore  string               `json:"credsStore"`
}

type authEntry struct {
	Auth          string `json:"auth"`
	IdentityToken string `json:"identitytoken"`
}

func newKeyring(reach api.Reach, sys *types.SystemContext) (keyring, error) {
	k := keyring{path: reach.Path, files: authFiles(reach), explicit: reach.AuthFile != "", empty: filepath.Dir(sys.AuthFilePath)}
	if reach.User != "" || reach.Password != "" {
		k.given = &types.DockerAuthConfig{Username: reach.User, Password: reach.Password}
	}
	var err error
	if k.helpers, err = sysregistriesv2.CredentialHelpers(sys); err != nil {
		return k, api.Errorf("read registries.conf", "", "%s", clean(err.Error()))
	}
	return k, nil
}

// authFiles are the files that hold credentials, as podman and docker know them.
func authFiles(reach api.Reach) []string {
	if reach.AuthFile != "" {
		return []string{reach.AuthFile}
	}
	var files []string
	if dir := runtimeDir(); ours(dir) {
		files = append(files, filepath.Join(dir, "containers/auth.json"))
	}
	files = append(files, config("auth.json"))
	if reach.DockerConfig != "" {
		return append(files, filepath.Join(reach.DockerConfig, "config.json"))
	}
	return append(files, filepath.Join(os.Getenv("HOME"), ".docker/config.json"))
}

// runtimeDir is where podman keeps what need not survive a reboot.
func runtimeDir() string {
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return dir
	}
	uid := outsideUID()
	if dir := fmt.Sprintf("/run/user/%d", uid); ours(dir) {
		return dir
	}
	return fmt.Sprintf("/tmp/storage-run-%d", uid)
}

// outsideUID is the user's id outside this user namespace, where it is 0.
func outsideUID() int {
	uid := os.Getuid()
	if m, err := os.ReadFile("/proc/self/uid_map"); err == nil {
		if f := strings.Fields(string(m)); len(f) >= 2 && f[0] == strconv.Itoa(uid) {
			if outside, err := strconv.Atoi(f[1]); err == nil {
				return outside
			}
		}
	}
	return uid
}

// ours says that path belongs to the user and that nobody else can write there.
// The directory in /tmp could be anybody's.
func ours(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && int(st.Uid) == os.Getuid() &&
		st.Mode&unix.S_IFMT == unix.S_IFDIR && st.Mode&0o022 == 0
}

// find returns the credentials for key, a repository with its registry or a
// registry alone; empty ones if there are none.
func (k keyring) find(ctx context.Context, key string) (types.DockerAuthConfig, error) {
	if k.given != nil {
		return *k.given, nil
	}
	host, _, _ := strings.Cut(key, "/")
	for _, name := range k.helpers {
		if name != sysregistriesv2.AuthenticationFileHelper {
			auth, err := k.helper(name).get(ctx, host)
			if err != nil || auth != (types.DockerAuthConfig{}) {
				return auth, err
			}
			continue
		}
		for _, file := range k.files {
			auth, err := k.inFile(ctx, file, key, host)
			if err != nil || auth != (types.DockerAuthConfig{}) {
				return auth, err
			}
		}
	}
	return types.DockerAuthConfig{}, nil
}

func (k keyring) inFile(ctx context.Context, file, key, host string) (types.DockerAuthConfig, error) {
	f, err := readAuthFile(file)
	if err != nil {
		return types.DockerAuthConfig{}, err
	}
	if name := f.CredHelpers[host]; name != "" {
		return k.helper(name).get(ctx, serverURL(host))
	}
	if entry, ok := f.lookup(key, host); ok {
		auth, err := entry.decode()
		if err != nil {
			return auth, api.Errorf("read credentials", file, "the entry for %s is not base64", printable(host)).
				WithHint("log in again: sbx login %s", host)
		}
		if auth != (types.DockerAuthConfig{}) {
			return auth, nil
		}
	}
	// The store is docker's default for all registries. Without docker its program
	// may be missing, and most images need no login.
	if store := k.helper(f.CredsStore); f.CredsStore != "" {
		if _, err := store.find(); err == nil {
			return store.get(ctx, serverURL(host))
		}
	}
	return types.DockerAuthConfig{}, nil
}

// readAuthFile reads a file with credentials; one that is not there is empty.
func readAuthFile(file string) (authFile, error) {
	var f authFile
	data, err := os.ReadFile(file)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && len(strings.TrimSpace(string(data))) == 0:
		return f, nil
	case err != nil:
		return f, api.Wrap("read credentials", file, errors.Unwrap(err)).
			WithHint("make the file readable for you, or name another with --authfile")
	}
	// The decoder's error could quote what it read.
	if json.Unmarshal(data, &f) != nil {
		return f, api.Errorf("read credentials", file, "it is not JSON of the right form").
			WithHint("mend the file, or remove it and log in again")
	}
	return f, nil
}

// lookup finds the entry for the longest part of key. Older versions of docker
// wrote whole addresses.
func (f authFile) lookup(key, host string) (authEntry, bool) {
	for part := key; ; {
		if entry, ok := f.Auths[part]; ok {
			return entry, true
		}
		i := strings.LastIndexByte(part, '/')
		if i < 0 {
			break
		}
		part = part[:i]
	}
	for name, entry := range f.Auths {
		if hostOf(name) == hostOf(host) {
			return entry, true
		}
	}
	return authEntry{}, false
}

// hostOf is the registry of an entry's name. Docker Hub has many.
func hostOf(name string) string {
	trimmed := strings.TrimPrefix(strings.TrimPrefix(name, "https://"), "http://")
	if trimmed != name {
		trimmed, _, _ = strings.Cut(trimmed, "/")
	}
	switch trimmed {
	case "registry-1.docker.io", "index.docker.io":
		return "docker.io"
	}
	return trimmed
}

func (e authEntry) decode() (types.DockerAuthConfig, error) {
	plain, err := base64.StdEncoding.DecodeString(e.Auth)
	if err != nil {
		return types.DockerAuthConfig{}, err
	}
	user, password, _ := strings.Cut(string(plain), ":")
	return types.DockerAuthConfig{
		Username:      user,
		Password:      strings.Trim(password, "\x00"),
		IdentityToken: e.IdentityToken,
	}, nil
}
