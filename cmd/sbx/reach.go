package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

// reachFlags say how registries are reached. Most of it is in the environment and
// in the user's configuration files.
type reachFlags struct {
	tlsVerify                 bool
	creds                     string
	authFile, certDir, policy string
}

// add adds those that every command has that talks to a registry.
func (f *reachFlags) add(fs *pflag.FlagSet) {
	fs.BoolVar(&f.tlsVerify, "tls-verify", true, "insist on HTTPS and check certificates (default: as registries.conf says)")
	fs.Lookup("tls-verify").DefValue = "false" // prints none: the real default is said in words
	fs.StringVar(&f.authFile, "authfile", "", "`FILE` with credentials (default: $REGISTRY_AUTH_FILE, or where login keeps them)")
	fs.StringVar(&f.certDir, "cert-dir", "", "`DIR` with ca.crt, client.cert and client.key for the registry")
}

// addPulling adds those that fetching an image has besides.
func (f *reachFlags) addPulling(fs *pflag.FlagSet) {
	f.add(fs)
	f.addCreds(fs)
	fs.StringVar(&f.policy, "signature-policy", "", "`FILE` that says which signatures an image needs, see policy.json(5)")
}

func (f *reachFlags) addCreds(fs *pflag.FlagSet) {
	fs.StringVar(&f.creds, "creds", "", "`USER[:PASSWORD]` for the registry, instead of login; without PASSWORD it is asked for")
}

// reach joins the flags and the environment.
func (f *reachFlags) reach(s streams, fs *pflag.FlagSet) (api.Reach, error) {
	r, err := environmentReach()
	if err != nil {
		return r, err
	}
	if fs.Changed("tls-verify") {
		r.TLSVerify = &f.tlsVerify
	}
	if f.authFile != "" {
		if r.AuthFile, err = absolute("--authfile", f.authFile); err != nil {
			return r, err
		}
	}
	if r.CertDir, err = existing("--cert-dir", f.certDir); err != nil {
		return r, err
	}
	if r.Policy, err = existing("--signature-policy", f.policy); err != nil {
		return r, err
	}
	if fs.Changed("creds") {
		r.User, r.Password, err = credentials(s, f.creds)
	}
	return r, err
}

// environmentReach is what the environment says. It is a part of every run, so it
// does nothing for what is not set.
func environmentReach() (api.Reach, error) {
	r := api.Reach{
		HTTPProxy:  either("HTTP_PROXY", "http_proxy"),
		HTTPSProxy: either("HTTPS_PROXY", "https_proxy"),
		NoProxy:    either("NO_PROXY", "no_proxy"),
		Path:       os.Getenv("PATH"),
	}
	var err error
	if r.AuthFile, err = absolute("", os.Getenv("REGISTRY_AUTH_FILE")); err != nil {
		return r, err
	}
	if r.DockerConfig, err = absolute("", os.Getenv("DOCKER_CONFIG")); err != nil {
		return r, err
	}
	if r.Registries, err = absolute("", os.Getenv("CONTAINERS_REGISTRIES_CONF")); err != nil {
		return r, err
	}
	if shared := os.Getenv("SBX_SHARED"); shared != "" {
		for dir := range strings.SplitSeq(shared, ":") {
			if dir, err = absolute("", dir); err != nil {
				return r, err
			}
			if dir != "" {
				r.Shared = append(r.Shared, dir)
			}
		}
	}
	return r, nil
}

// either is the first variable that is set, as Go and curl read proxies.
func either(upper, lower string) string {
	if value := os.Getenv(upper); value != "" {
		return value
	}
	return os.Getenv(lower)
}

// absolute makes a path of the user's one for the supervisor, whose working
// directory is another. No path stays none. The flag is for the error.
func absolute(flag, path string) (string, error) {
	if path == "" || filepath.IsAbs(path) {
		return path, nil
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", api.Wrap("find the working directory for "+flag, path, err)
	}
	return abs, nil
}

// absoluteImage makes the path in a name like oci:DIR:TAG absolute. Other names
// stay.
func absoluteImage(name string) (string, error) {
	for _, transport := range [...]string{"oci:", "oci-archive:", "docker-archive:", "dir:"} {
		if path, ok := strings.CutPrefix(name, transport); ok && path != "" {
			path, err := absolute(transport, path)
			return transport + path, err
		}
	}
	return name, nil
}

// existing is absolute for a path that must be there.
func existing(flag, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	if _, err := os.Stat(path); err != nil {
		return "", invalid(flag, path, errors.Unwrap(err).Error())
	}
	return absolute(flag, path)
}

// credentials takes USER[:PASSWORD] apart and asks for a missing password.
func credentials(s streams, text string) (user, password string, err error) {
	user, password, given := strings.Cut(text, ":")
	if user == "" {
		return "", "", &flagError{"--creds: expected USER[:PASSWORD]"}
	}
	if !given {
		password, err = askSecret(s, "Password: ")
	}
	return user, password, err
}
