package transfer

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"sbx/api"
)

func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestParsePlace(t *testing.T) {
	for in, want := range map[string]string{
		"debian":                      "docker docker.io/library/debian:latest short",
		"debian:13":                   "docker docker.io/library/debian:13 short",
		"me/app":                      "docker docker.io/me/app:latest short",
		"localhost/app":               "docker localhost/app:latest",
		"host:5000/app":               "docker host:5000/app:latest",
		"docker://debian":             "docker docker.io/library/debian:latest",
		"quay.io/a/b:1@" + someDigest: "docker quay.io/a/b@" + someDigest,
		"oci:/dir":                    "oci /dir",
		"oci:/dir:v1":                 "oci /dir v1",
		"oci-archive:/a/../b.tar:x":   "oci-archive /b.tar x",
		"docker-archive:/b.tar:a:1":   "docker-archive /b.tar a:1",
		"dir:/with:colon":             "dir /with:colon",
		"oci:dir":                     "error",
		"Upper":                       "error",
		"a b":                         "error",
	} {
		p, err := parsePlace(in)
		got := p.transport
		switch {
		case err != nil:
			got = "error"
		case p.named != nil:
			got += " " + p.named.String()
		default:
			got += strings.TrimRight(" "+p.path+" "+p.image, " ")
		}
		if p.short && err == nil {
			got += " short"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

const someDigest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestChoosePlatform(t *testing.T) {
	list := []imgspecv1.Descriptor{}
	for _, p := range []string{"linux/amd64/v3", "linux/amd64", "linux/arm/v5", "linux/arm/v7", "linux/arm64/v8", "linux/386", "windows/amd64", "unknown/unknown"} {
		f := strings.Split(p+"/", "/")
		list = append(list, imgspecv1.Descriptor{MediaType: p, Platform: &imgspecv1.Platform{OS: f[0], Architecture: f[1], Variant: f[2]}})
	}
	for want, got := range map[string]string{
		"linux/amd64": "linux/amd64", "x86_64": "linux/amd64", "linux/amd64/v3": "linux/amd64/v3",
		"linux/arm64": "linux/arm64/v8", "linux/arm64/v8": "linux/arm64/v8", "linux/arm": "linux/arm/v7",
		"linux/arm/v6": "linux/arm/v5", "armhf": "linux/arm/v7", "windows/amd64": "windows/amd64",
		"linux/s390x": "error", "linux/": "error", "a/b/c/d": "error", "linux/amd64\x1b": "error",
	} {
		p, err := parsePlatform(want)
		var d imgspecv1.Descriptor
		if err == nil {
			d, err = choose(list, p)
		}
		if err != nil {
			d.MediaType = "error"
		}
		if d.MediaType != got {
			t.Errorf("%s: chose %s (%v), want %s", want, d.MediaType, err, got)
		}
	}
	// A machine without the instructions of v3 is not given them.
	if d, err := choose(list[:1], platform{os: "linux", arch: "amd64"}); err == nil {
		t.Errorf("chose %s", d.MediaType)
	}
}

func TestCandidates(t *testing.T) {
	o := newOptions(t)
	conf := filepath.Join(os.Getenv("HOME"), ".config/containers")
	if err := os.MkdirAll(conf, 0o700); err != nil {
		t.Fatal(err)
	}
	names := func(name string) string {
		t.Helper()
		s, err := newSession(o)
		if err != nil {
			t.Fatal(err)
		}
		p, err := parsePlace(name)
		if err != nil {
			t.Fatal(err)
		}
		list, err := p.candidates(&s.sys)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(list)
	}
	if got := names("debian:13"); got != "[docker.io/library/debian:13]" {
		t.Errorf("without a file: %s", got)
	}
	file := "unqualified-search-registries = [\"example.com\", \"docker.io\"]\n[aliases]\n\"fed\" = \"example.org/x/fed\"\n"
	if err := os.WriteFile(conf+"/registries.conf", []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"no-alias:13":          "[example.com/no-alias:13 docker.io/library/no-alias:13]",
		"fed":                  "[example.org/x/fed:latest]",
		"quay.io/debian":       "[quay.io/debian:latest]",
		"docker://debian:1":    "[docker.io/library/debian:1]",
		"me/app@" + someDigest: "[example.com/me/app@" + someDigest + " docker.io/me/app@" + someDigest + "]",
	} {
		if got := names(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestCleanHidesSecrets(t *testing.T) {
	for in, want := range map[string]string{
		`Get "https://me:pa55@host/v2/": EOF`:                        `Get "https://host/v2/": EOF`,
		`Get "https://s3/x?X-Amz-Signature=abc&y=1": timeout`:        `Get "https://s3/x": timeout`,
		`decoding bearer token (last URL "u", body start "{\"tok"):`: `decoding bearer token (last URL "u", body not shown):`,
		"header Bearer abcdefghijklmnop was bad":                     "header Bearer (not shown) was bad",
		"a\nb\tc \x1b[31m\u202e":                                     "a b c ?[31m?",
		strings.Repeat("é", 400):                                     strings.Repeat("é", 300) + "...",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for _, bad := range []string{"http://me:pa55 word@proxy\x7f", "me:pa55@", "ftp://me:pa55@proxy"} {
		if _, err := proxy(api.Reach{HTTPSProxy: bad}); err == nil || strings.Contains(err.Error(), "pa55") {
			t.Errorf("bad proxy %q: %v", bad, err)
		}
	}
	choose, err := proxy(api.Reach{HTTPSProxy: "me:pa55@proxy:3128", NoProxy: "near.example"})
	if err != nil {
		t.Fatal(err)
	}
	if via, err := choose(mustURL(t, "https://host/")); err != nil || via == nil || via.Host != "proxy:3128" {
		t.Errorf("proxy %v, %v", via, err)
	}
	if via, err := choose(mustURL(t, "https://near.example/")); err != nil || via != nil {
		t.Errorf("proxy %v, %v", via, err)
	}
}

func TestKeyring(t *testing.T) {
	o := newOptions(t)
	helpers := t.TempDir()
	script := `#!/bin/sh
read -r server
case "$1 $server" in
"get helped.example") echo '{"ServerURL":"x","Username":"h","Secret":"helper"}' ;;
"get https://index.docker.io/v1/") echo '{"ServerURL":"x","Username":"<token>","Secret":"refresh"}' ;;
get*) echo "credentials not found in native keychain"; exit 1 ;;
esac
`
	if err := os.WriteFile(helpers+"/docker-credential-test", []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	docker := filepath.Join(os.Getenv("HOME"), ".docker")
	if err := os.MkdirAll(docker, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		config("auth.json"): `{"auths":{"a.example/ns":{"auth":"` + b64("ns:1") + `"},"a.example":{"auth":"` + b64("all:2") + `"}},
			"credHelpers":{"helped.example":"test"}}`,
		docker + "/config.json": `{"auths":{"https://old.example/v1/":{"auth":"` + b64("old:3") + `"}},"credsStore":"test"}`,
	} {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.Reach.Path = helpers + ":/usr/bin:/bin"
	s, err := newSession(o)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"a.example/ns/app": "ns:1", "a.example/other": "all:2", "helped.example/x": "h:helper",
		"old.example/x": "old:3", "docker.io/library/debian": ":/refresh", "none.example/x": ":",
	} {
		auth, err := s.keys.find(context.Background(), key)
		got := auth.Username + ":" + auth.Password
		if auth.IdentityToken != "" {
			got += "/" + auth.IdentityToken
		}
		if err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", key, got, err, want)
		}
	}
	if err := os.WriteFile(config("auth.json"), []byte(`{"auths": "hunter2`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.keys.find(context.Background(), "a.example/x"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("broken file: %v", err)
	}
}

func TestLogin(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	s.intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if user, password, ok := r.BasicAuth(); !ok || user != "me" || password != "secret" {
			w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	o.Reach.AuthFile = filepath.Join(t.TempDir(), "sub", "auth.json")
	s.make("lib/app", "1", threeLayers(), nil)
	ctx := context.Background()
	pullFails(t, s, o, "sbx login "+s.host())
	_, err := Login(ctx, o, api.Login{Registry: s.host(), User: "me", Password: "wrong-pa55"})
	checkError(t, err, "does not take this user name and password")
	if strings.Contains(err.Error(), "pa55") {
		t.Errorf("the password is in the error: %v", err)
	}
	if text, err := Login(ctx, o, api.Login{Registry: "https://" + s.host() + "/", User: "me", Password: "secret"}); err != nil || text != "Login Succeeded!\n" {
		t.Fatalf("login: %q, %v", text, err)
	}
	if info, err := os.Stat(o.Reach.AuthFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the login: %v, %v", info, err)
	}
	if text, err := Login(ctx, o, api.Login{Registry: s.host(), GetLogin: true}); err != nil || text != "me\n" {
		t.Errorf("get login: %q, %v", text, err)
	}
	mustPull(t, o, s.host()+"/lib/app:1", PullOptions{})
	if _, err := Logout(ctx, o, api.Logout{Registry: s.host()}); err != nil {
		t.Error(err)
	}
	if _, err := Logout(ctx, o, api.Logout{Registry: s.host()}); err == nil {
		t.Error("logged out twice")
	}
	if _, err := Pull(ctx, o, s.host()+"/lib/app:1", PullOptions{}); err == nil {
		t.Error("pulled without a login")
	}
	if _, err := Login(ctx, o, api.Login{Registry: "not a host", User: "a", Password: "b"}); err == nil {
		t.Error("a bad address was taken")
	}
}

func TestSearch(t *testing.T) {
	s, o := newServer(t), newOptions(t)
	for _, repo := range []string{"lib/app", "lib/apple", "other/x"} {
		s.make(repo, "1", threeLayers()[:1], nil)
	}
	got, err := Search(context.Background(), o, api.Search{Term: s.host() + "/app"})
	slices.SortFunc(got, func(a, b Found) int { return strings.Compare(a.Name, b.Name) })
	if err != nil || len(got) != 2 || got[0].Name != s.host()+"/lib/app" || got[0].Index != s.host() {
		t.Errorf("found %+v, %v", got, err)
	}
	if got, err := Search(context.Background(), o, api.Search{Term: s.host() + "/app", Filters: []string{"stars=3"}}); err != nil || len(got) != 0 {
		t.Errorf("with stars: %+v, %v", got, err)
	}
	var e *api.Error
	if _, err := Search(context.Background(), o, api.Search{Term: "x", Filters: []string{"color=red"}}); !errors.As(err, &e) {
		t.Errorf("bad filter: %v", err)
	}
}

func mustURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
