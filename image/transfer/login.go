package transfer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"go.podman.io/image/v5/docker"
	authconfig "go.podman.io/image/v5/pkg/docker/config"
	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"

	"sbx/api"
)

// hub is the registry that is meant when none is named.
const hub = "docker.io"

// registryKey is what credentials are kept under: a host, or a part of its
// repositories.
func registryKey(typed string) (key, host string, err error) {
	key = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(typed, "https://"), "http://"), "/")
	if key == "" {
		key = hub
	}
	host, path, _ := strings.Cut(key, "/")
	if hostOf(host) == hub {
		host = hub
		key = strings.TrimSuffix(hub+"/"+strings.TrimPrefix(strings.TrimPrefix(path, "v1"), "/"), "/")
	}
	if _, err := parseName(key + "/x"); err != nil || strings.ContainsAny(key, "@ ") {
		return "", "", api.Errorf("log in", printable(typed), "this is no address of a registry").
			WithHint("give HOST or HOST:PORT, without a user name")
	}
	return key, host, nil
}

// Login checks that the registry takes the user and the password, and keeps them
// where podman does. With GetLogin it only says who is logged in.
func Login(ctx context.Context, o Options, l api.Login) (string, error) {
	key, host, err := registryKey(l.Registry)
	if err != nil {
		return "", err
	}
	s, err := newSession(o)
	if err != nil {
		return "", explain("log in", key, host, err)
	}
	if l.GetLogin {
		return s.whoami(ctx, key)
	}
	if l.User == "" || l.Password == "" {
		return "", api.Errorf("log in", key, "a user name and a password are needed").
			WithHint("sbx login -u NAME --password-stdin %s", key)
	}
	sys := s.sys
	sys.DockerAuthConfig = &types.DockerAuthConfig{Username: l.User, Password: l.Password}
	err = s.limits.retry(ctx, func() {}, func() error {
		wctx, _, stop := watched(ctx, s.limits)
		defer stop()
		return cause(wctx, docker.CheckAuth(wctx, &sys, l.User, l.Password, host))
	})
	switch {
	case httpStatus(err) == http.StatusUnauthorized:
		return "", api.Errorf("log in", key, "it does not take this user name and password: %s", registryText(err)).
			WithHint("check both; some registries want an access token instead of the password")
	case err != nil:
		return "", explain("log in", key, host, err)
	}
	where, err := s.keys.store(ctx, key, host, l.User, l.Password)
	if err != nil {
		return "", explain("log in", key, "", err)
	}
	s.Log.Info("logged in", "registry", key, "kept in", where)
	return "Login Succeeded!\n", nil
}

func (s *session) whoami(ctx context.Context, key string) (string, error) {
	auth, err := s.keys.find(ctx, key)
	switch {
	case err != nil:
		return "", explain("log in", key, "", err)
	case auth.IdentityToken != "" && auth.Username == "":
		return "<token>\n", nil
	case auth.Username == "":
		return "", api.Errorf("get login", key, "nobody is logged in").WithHint("sbx login %s", key)
	}
	return clean(auth.Username) + "\n", nil
}

// store keeps credentials: in a helper, if the files name one for the host or
// registries.conf does, else in the first file. It returns where that is.
func (k keyring) store(ctx context.Context, key, host, user, password string) (string, error) {
	if h, server, ok := k.writer(host); ok {
		if key != host {
			return "", api.Errorf("log in", key, "credential helpers keep whole registries only").
				WithHint("leave the path away, or name a file with --authfile")
		}
		return "docker-credential-" + h.name, h.store(ctx, server, user, password)
	}
	file, err := k.file()
	if err != nil {
		return "", err
	}
	return file, k.edit(file, func(sys *types.SystemContext) error {
		_, err := authconfig.SetCredentials(sys, key, user, password)
		return err
	})
}

// writer is the helper that keeps the credentials of a host.
func (k keyring) writer(host string) (h helper, server string, ok bool) {
	for _, name := range k.helpers {
		if name != sysregistriesv2.AuthenticationFileHelper {
			return k.helper(name), host, true
		}
		for _, file := range k.files {
			if f, err := readAuthFile(file); err == nil && f.CredHelpers[host] != "" {
				return k.helper(f.CredHelpers[host]), serverURL(host), true
			}
		}
	}
	return helper{}, "", false
}

// file is the one that credentials are written to. Its directory is made: the one
// in /tmp is used only if it is ours.
func (k keyring) file() (string, error) {
	if k.explicit {
		return k.files[0], nil
	}
	dir := runtimeDir()
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", api.Wrap("mkdir", dir, errors.Unwrap(err)).WithHint("name a file with --authfile")
	}
	if !ours(dir) {
		return "", api.Errorf("keep credentials", dir, "it belongs to somebody else, or others may write there").
			WithHint("name a file with --authfile")
	}
	return filepath.Join(dir, "containers/auth.json"), nil
}

// edit changes one file by the library, which keeps what it does not know. The
// file's own registries.conf settings must not lead it to helpers.
func (k keyring) edit(file string, change func(*types.SystemContext) error) error {
	sys := &types.SystemContext{AuthFilePath: file, SystemRegistriesConfPath: os.DevNull, SystemRegistriesConfDirPath: k.empty}
	if err := change(sys); err != nil {
		if errors.Is(err, authconfig.ErrNotLoggedIn) {
			return err
		}
		return api.Wrap("write credentials", file, plainly(err)).WithHint("mend the file, or name another with --authfile")
	}
	return nil
}

// Logout forgets the credentials for a registry, or all, that Login keeps.
func Logout(ctx context.Context, o Options, l api.Logout) (string, error) {
	key, host, err := registryKey(l.Registry)
	if err != nil {
		return "", err
	}
	s, err := newSession(o)
	if err != nil {
		return "", explain("log out", key, "", err)
	}
	if l.All {
		return s.logoutAll(ctx)
	}
	gone, err := s.keys.forget(ctx, key, host)
	switch {
	case err != nil:
		return "", explain("log out", key, "", err)
	case gone:
		return fmt.Sprintf("Removed login credentials for %s\n", key), nil
	}
	left, err := s.keys.find(ctx, key)
	if err == nil && left != (types.DockerAuthConfig{}) {
		return "", api.Errorf("log out", key, "the login is one of docker's, or of another file").
			WithHint("docker logout %s; or name the file with --authfile", key)
	}
	return "", api.Errorf("log out", key, "nobody is logged in").WithHint("sbx login --get-login %s shows who is", key)
}

// forget reports whether there was something to forget.
func (k keyring) forget(ctx context.Context, key, host string) (bool, error) {
	if h, server, ok := k.writer(host); ok {
		return h.erase(ctx, server)
	}
	file, err := k.file()
	if err != nil {
		return false, err
	}
	err = k.edit(file, func(sys *types.SystemContext) error { return authconfig.RemoveAuthentication(sys, key) })
	if errors.Is(err, authconfig.ErrNotLoggedIn) {
		return false, nil
	}
	return err == nil, err
}

func (s *session) logoutAll(ctx context.Context) (string, error) {
	var errs []error
	for _, file := range s.keys.files {
		f, err := readAuthFile(file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for host := range f.CredHelpers {
			_, err := s.keys.forget(ctx, host, host)
			errs = append(errs, err)
		}
	}
	file, err := s.keys.file()
	if err == nil {
		err = s.keys.edit(file, authconfig.RemoveAllAuthentication)
	}
	if err := errors.Join(append(errs, err)...); err != nil {
		return "", explain("log out", "", "", err)
	}
	return "Removed all login credentials\n", nil
}
