package transfer

import (
	"context"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func put(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// An authority of the user's own is taken from certs.d, and from --cert-dir.
func TestCertificates(t *testing.T) {
	s := &server{t: t}
	s.Server = httptest.NewTLSServer(s.handler())
	defer s.Close()
	p := s.make("lib/app", "1", threeLayers(), nil)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}))
	name := s.host() + "/lib/app:1"

	o := newOptions(t)
	o.Reach.TLSVerify = nil
	put(t, filepath.Join(config("certs.d"), s.host(), "ca.crt"), ca)
	if got := mustPull(t, o, name, PullOptions{}); got.Image.ID != p.id {
		t.Errorf("pulled %+v", got)
	}
	o = newOptions(t)
	o.Reach.TLSVerify = nil
	if _, err := Pull(context.Background(), o, name, PullOptions{}); err == nil {
		t.Error("an unknown authority was trusted")
	}
	o.Reach.CertDir = filepath.Dir(writeFile(t, "ca.crt", ca))
	mustPull(t, o, name, PullOptions{})
}

// A mirror is asked first, and gets no credentials that are for the registry.
func TestMirror(t *testing.T) {
	s, mirror, o := newServer(t), newServer(t), newOptions(t)
	p := mirror.make("copy/app", "1", threeLayers(), nil)
	var leaked atomic.Bool
	mirror.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") != "" {
			leaked.Store(true)
		}
		return false
	})
	o.Reach.TLSVerify = nil
	o.Reach.User, o.Reach.Password = "me", "secret"
	o.Reach.Registries = writeFile(t, "registries.conf", fmt.Sprintf(
		"[[registry]]\nlocation = %q\ninsecure = true\n[[registry.mirror]]\nlocation = %q\ninsecure = true\n",
		s.host()+"/lib", mirror.host()+"/copy"))
	name := s.host() + "/lib/app:1"
	got := mustPull(t, o, name, PullOptions{})
	if got.Image.ID != p.id || got.Name != name || s.asked("GET /v2/lib") != 0 {
		t.Errorf("pulled %+v; the registry was asked %d times", got, s.asked("GET /v2/lib"))
	}
	if leaked.Load() {
		t.Error("the mirror got credentials")
	}
	o.Reach.Registries = writeFile(t, "registries.conf", fmt.Sprintf("[[registry]]\nlocation = %q\nblocked = true\n", s.host()))
	_, err := Pull(context.Background(), o, name, PullOptions{})
	checkError(t, err, "registries.conf blocks it")
	o.Reach.Registries = writeFile(t, "registries.conf", "[[registry]\n")
	_, err = Pull(context.Background(), o, name, PullOptions{})
	checkError(t, err, "read registries.conf")
}

// Nothing that was given as a secret is in an error, whatever a registry answers.
func TestTokenStaysSecret(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	o.tune = quick
	o.Reach.User, o.Reach.Password = "me", "hunter2-secret"
	const token = "abcdefghijklmnopqrstuvwxyz"
	for _, answer := range []string{`{"token":"` + token + `"`, `{"token":"` + token + `"}`} {
		s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.URL.Path == "/token":
				fmt.Fprint(w, answer)
			case r.URL.Path == "/v2/":
				w.Header().Set("WWW-Authenticate", `Bearer realm="`+s.URL+`/token",service="x"`)
				w.WriteHeader(http.StatusUnauthorized)
			default:
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprintf(w, "no: %s", r.Header.Get("Authorization"))
			}
			return true
		})
		_, err := Pull(context.Background(), o, s.host()+"/lib/app:1", PullOptions{})
		checkError(t, err)
		for _, secret := range []string{"hunter2", token[:12]} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%q is in the error %q", secret, err)
			}
		}
	}
}
