package transfer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.podman.io/image/v5/types"

	"sbx/api"
)

// helper is a credential helper: a program docker-credential-NAME that keeps
// secrets, spoken to as docker does. Secrets go through pipes, never through argv.
// https://github.com/docker/docker-credential-helpers
type helper struct {
	name string
	path string // $PATH of the user
}

// helperTimeout is for helpers that ask a service, or a human.
const helperTimeout = 2 * time.Minute

// notStored is what a helper prints when it has nothing for a server.
const notStored = "credentials not found"

func (k keyring) helper(name string) helper { return helper{name, k.path} }

// serverURL is the name under which docker's helpers keep the account of a
// registry.
func serverURL(host string) string {
	if host == "docker.io" {
		return "https://index.docker.io/v1/"
	}
	return host
}

type helperAnswer struct {
	ServerURL, Username, Secret string
}

// get returns empty credentials when the helper has none.
func (h helper) get(ctx context.Context, server string) (types.DockerAuthConfig, error) {
	out, err := h.run(ctx, "get", []byte(server))
	if err != nil || out == nil {
		return types.DockerAuthConfig{}, err
	}
	var answer helperAnswer
	if json.Unmarshal(out, &answer) != nil {
		return types.DockerAuthConfig{}, h.fault("get", "its answer is not JSON")
	}
	if answer.Username == "<token>" {
		return types.DockerAuthConfig{IdentityToken: answer.Secret}, nil
	}
	return types.DockerAuthConfig{Username: answer.Username, Password: answer.Secret}, nil
}

func (h helper) store(ctx context.Context, server, user, password string) error {
	in, err := json.Marshal(helperAnswer{server, user, password})
	if err != nil {
		return err
	}
	_, err = h.run(ctx, "store", in)
	return err
}

// erase reports whether there was something to forget.
func (h helper) erase(ctx context.Context, server string) (bool, error) {
	had, err := h.get(ctx, server)
	if err != nil || had == (types.DockerAuthConfig{}) {
		return false, err
	}
	_, err = h.run(ctx, "erase", []byte(server))
	return err == nil, err
}

// run returns nil when the helper knows nothing of the server.
func (h helper) run(ctx context.Context, verb string, in []byte) ([]byte, error) {
	program, err := h.find()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(ctx, helperTimeout)
	defer stop()
	cmd := exec.CommandContext(ctx, program, verb)
	cmd.WaitDelay = time.Second
	cmd.Env = append(os.Environ(), "PATH="+h.path)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err == nil {
		return out, nil
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return nil, h.fault(verb, err.Error())
	}
	said := strings.TrimSpace(string(out) + " " + string(exit.Stderr))
	if strings.Contains(said, notStored) {
		return nil, nil
	}
	// What it said on a failure of get is a message; it has no secret to tell.
	if verb != "get" || said == "" {
		said = exit.ProcessState.String()
	}
	return nil, h.fault(verb, said)
}

// find looks in the user's PATH, not in that of this process.
func (h helper) find() (string, error) {
	program := "docker-credential-" + h.name
	if h.name == "" || strings.ContainsAny(h.name, "/\x00") {
		return "", h.fault("find", "this is no name of a helper")
	}
	for _, dir := range filepath.SplitList(h.path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return path, nil
		}
	}
	return "", h.fault("find", "it is not in PATH")
}

func (h helper) fault(verb, why string) error {
	return api.Errorf("credential helper", printable("docker-credential-"+h.name), "%s: %s", verb, clean(why)).
		WithHint("install or mend it, or remove it from credHelpers and credsStore in the file with your logins")
}
