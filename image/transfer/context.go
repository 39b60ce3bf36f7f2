package transfer

import (
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.podman.io/image/v5/pkg/sysregistriesv2"
	"go.podman.io/image/v5/types"
	"golang.org/x/net/http/httpproxy"

	"sbx/api"
	"sbx/internal/dirs"
)

// noLookaside keeps the library from looking for signatures in the directory of
// the real root.
const noLookaside = "default-docker:\n  lookaside: file:///nonexistent\n"

// ConfigDir is the directory, below the data directory, that the library finds in
// place of the system's registries.d.
const ConfigDir = "registries.d"

// systemContext is the library's configuration without credentials. In the user
// namespace geteuid(2) is 0, and the library would take that for the real root, so
// all paths that depend on it are given.
//
// Certificates need nothing: the library looks in ~/.config/containers/certs.d,
// /etc/containers/certs.d and /etc/docker/certs.d.
func systemContext(d dirs.Dirs, reach api.Reach) (types.SystemContext, error) {
	own := filepath.Join(d.Data, ConfigDir)
	choose, err := proxy(reach)
	if err != nil {
		return types.SystemContext{}, err
	}
	sys := types.SystemContext{
		AuthFilePath:                      filepath.Join(own, "no-auth.json"), // see keyring
		RegistriesDirPath:                 own,
		UserShortNameAliasConfPath:        filepath.Join(d.Data, "short-name-aliases.conf"),
		BlobInfoCacheDir:                  d.Data,
		BigFilesTemporaryDir:              d.Data,
		DockerCertPath:                    reach.CertDir,
		DockerRegistryUserAgent:           "sbx/" + api.Version,
		DockerDisableDestSchema1MIMETypes: true,
		DockerProxy:                       choose,
	}
	if reach.TLSVerify != nil {
		sys.DockerInsecureSkipTLSVerify = types.NewOptionalBool(!*reach.TLSVerify)
	}
	if err := os.MkdirAll(own, 0o700); err != nil {
		return sys, api.Wrap("mkdir", own, err)
	}
	if file := filepath.Join(own, "default.yaml"); firstThere(file) == "" {
		if err := os.WriteFile(file, []byte(noLookaside), 0o600); err != nil {
			return sys, api.Wrap("write", own, err)
		}
	}
	if dir := firstThere(config("registries.d"), "/etc/containers/registries.d"); dir != "" {
		sys.RegistriesDirPath = dir
	}
	sys.SystemRegistriesConfPath = firstThere(config("registries.conf"), "/etc/containers/registries.conf")
	if reach.Registries != "" {
		// As with the variable itself: this file and no other.
		sys.SystemRegistriesConfPath, sys.SystemRegistriesConfDirPath = reach.Registries, own
	}
	sysregistriesv2.InvalidateCache()
	if _, err := sysregistriesv2.GetRegistries(&sys); err != nil {
		return sys, api.Errorf("read registries.conf", "", "%s", clean(err.Error())).
			WithHint("mend the file, or give another in CONTAINERS_REGISTRIES_CONF")
	}
	return sys, nil
}

// config is a file of the user's configuration of container tools.
func config(name string) string {
	if xdg := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(xdg) {
		return filepath.Join(xdg, "containers", name)
	}
	return filepath.Join(os.Getenv("HOME"), ".config/containers", name)
}

// firstThere returns the first path that exists, or "".
func firstThere(paths ...string) string {
	for _, path := range paths {
		if _, err := os.Stat(path); err == nil {
			return path
		}
	}
	return ""
}

// proxy chooses by the variables of the user.
func proxy(reach api.Reach) (func(*url.URL) (*url.URL, error), error) {
	for name, address := range map[string]string{"HTTP_PROXY": reach.HTTPProxy, "HTTPS_PROXY": reach.HTTPSProxy} {
		// The library goes without a proxy if it cannot read the address. The address
		// may hold a password, so nobody quotes it.
		if address != "" && !isProxy(address) {
			return nil, api.Errorf("read "+name, "", "it is not the address of a proxy").
				WithHint("set it to http://HOST:PORT, with %%XX for special characters in a password")
		}
	}
	return (&httpproxy.Config{
		HTTPProxy:  reach.HTTPProxy,
		HTTPSProxy: reach.HTTPSProxy,
		NoProxy:    reach.NoProxy,
	}).ProxyFunc(), nil
}

func isProxy(address string) bool {
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme)
}
