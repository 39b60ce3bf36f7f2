package tests

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sbx/tests/registry"
)

// real starts the distribution's registry, for this test.
func real(t testing.TB, o registry.Options) *registry.Registry {
	t.Helper()
	Need(t, "registry")
	r, err := registry.Start(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// front starts a server of faults in front of a registry; sbx may speak plain HTTP
// to it.
func (e *Env) front(backend http.Handler) *registry.Front {
	e.t.Helper()
	f, err := registry.NewFront(backend, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		if err := f.Close(); err != nil {
			e.t.Error(err)
		}
	})
	e.plain(f.Addr)
	return f
}

// plain lets the user's registries.conf allow plain HTTP to these hosts.
func (e *Env) plain(addrs ...string) {
	e.t.Helper()
	var b strings.Builder
	for _, addr := range addrs {
		fmt.Fprintf(&b, "[[registry]]\nlocation = %q\ninsecure = true\n", addr)
	}
	e.configure("registries.conf", b.String())
}

// configure writes, or goes on writing, a file below ~/.config/containers.
func (e *Env) configure(name, text string) {
	e.t.Helper()
	path := filepath.Join(e.Home, ".config/containers", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		e.t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		e.t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if closed := f.Close(); err != nil || closed != nil {
		e.t.Fatal(err, closed)
	}
}

// put uploads an image by our own hands.
func put(t testing.TB, addr, repo, tag string, p registry.Packed) {
	t.Helper()
	if err := (registry.Client{Base: "http://" + addr}).Put(repo, tag, p); err != nil {
		t.Fatal(err)
	}
}

// refused checks a command that must fail with that status and one line of error
// that holds all the words, and nothing of what is secret.
func (e *Env) refused(code int, words []string, args ...string) string {
	e.t.Helper()
	r := e.Run(args...)
	e.checkRefused(r, code, words, args...)
	return r.Err
}

func (e *Env) checkRefused(r Result, code int, words []string, args ...string) {
	e.t.Helper()
	if r.Code != code || strings.Count(r.Err, "\n") != 1 || r.Out != "" {
		e.t.Errorf("sbx %q: status %d, stderr %q, stdout %q; want status %d and one line", args, r.Code, r.Err, r.Out, code)
	}
	for _, word := range words {
		if !strings.Contains(r.Err, word) {
			e.t.Errorf("sbx %q: stderr %q does not say %q", args, r.Err, word)
		}
	}
	for _, secret := range registry.Secrets() {
		if strings.Contains(r.Err+r.Out, secret) {
			e.t.Errorf("sbx %q: shows a secret: %q", args, r.Err)
		}
	}
}

// noImages checks that nothing of a pull that failed is to be seen, and that sbx
// works.
func (e *Env) noImages() {
	e.t.Helper()
	if ids := e.OK("images", "-aq"); ids != "" {
		e.t.Errorf("images: %q", ids)
	}
}

// must is for what a test makes itself.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
