package tests

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sbx/tests/registry"
)

// trust puts the authority where sbx looks for it.
func (e *Env) trust(addr string, ca *registry.Authority) {
	e.t.Helper()
	e.configure("certs.d/"+addr+"/ca.crt", string(ca.PEM))
}

// secretsIn looks for secrets in what sbx wrote to its directories and logs, other
// than the file that is there to hold them.
func (e *Env) secretsIn(allowed string) {
	e.t.Helper()
	for _, top := range []string{e.Data, e.Instance.Run, e.Home} {
		err := filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() || path == allowed {
				return nil // the sandboxes' own files are not for us to read
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return nil
			}
			for _, secret := range registry.Secrets() {
				if strings.Contains(string(raw), secret) {
					e.t.Errorf("%s holds a secret", path)
				}
			}
			return nil
		})
		if err != nil {
			e.t.Error(err)
		}
	}
}

// argv watches the arguments of all processes of the instance for secrets, until
// the function it gives is called.
func (e *Env) argv() (stop func()) {
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			for _, p := range e.Processes() {
				for _, secret := range registry.Secrets() {
					if strings.Contains(strings.Join(p.Args, " "), secret) {
						e.t.Errorf("a secret is an argument of %s", p.Role())
					}
				}
			}
			select {
			case <-over:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() { close(over); <-done }
}

// A private registry with an authority of its own and basic authentication, from
// the first refusal to logout.
func TestRegistryLogin(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	ca := must[*registry.Authority](t)(registry.NewAuthority())
	r := real(t, registry.Options{TLS: ca, Auth: true})
	image := r.Addr + "/private/busybox:1"
	e.Busybox()
	e.OK("tag", "busybox", image)
	defer e.argv()()

	if r := e.RunIn(registry.Password, "login", "-u", registry.User, "--password-stdin", r.Addr); r.Code != 1 || !strings.Contains(r.Err, "certificate") {
		t.Errorf("login to an unknown authority: %+v", r)
	}
	e.trust(r.Addr, ca)
	e.refused(1, []string{"sbx login " + r.Addr}, "push", "-q", image)
	e.refused(1, []string{"sbx login " + r.Addr}, "pull", "-q", image)
	if r := e.RunIn("wrong", "login", "-u", registry.User, "--password-stdin", r.Addr); r.Code != 1 || strings.Contains(r.Out, "Succeeded") || strings.Contains(r.Err, "wrong\n") {
		t.Errorf("login with a wrong password: %+v", r)
	}
	auth := filepath.Join(e.Home, "runtime/containers/auth.json")
	if _, err := os.Stat(auth); err == nil {
		t.Error("a wrong password is kept")
	}
	if r := e.RunIn(registry.Password+"\n", "login", "-u", registry.User, "--password-stdin", r.Addr); r.Code != 0 || !strings.Contains(r.Out, "Login Succeeded") {
		t.Fatalf("login: %+v", r)
	}
	st, err := os.Stat(auth)
	if err != nil || st.Mode().Perm() != 0o600 || st.Sys().(*syscall.Stat_t).Uid != uint32(os.Getuid()) {
		t.Errorf("%s: %v %v", auth, st, err)
	}
	e.Is(registry.User, "login", "--get-login", r.Addr)
	e.OK("push", "-q", image)
	id := e.OK("image", "inspect", "-f", "{{.Id}}", image)
	e.OK("rmi", "-f", id)
	e.Is(id, "pull", "-q", image)
	// Podman reads the same file, and we read podman's.
	e.skopeo("inspect", "--authfile", auth, "docker://"+image)
	e.secretsIn(auth)

	e.OK("logout", r.Addr)
	e.refused(1, []string{"sbx login " + r.Addr}, "pull", "-q", image)
	e.secretsIn("")
	// What others have logged in to.
	other := filepath.Join(e.Home, "podmans.json")
	e.witness(registry.Password, "podman", "login", "-u", registry.User, "--password-stdin", "--authfile", other, r.Addr)
	e.OK("pull", "-q", "--authfile", other, image)
	if err := os.Mkdir(filepath.Join(e.Home, ".docker"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(other, filepath.Join(e.Home, ".docker/config.json")); err != nil {
		t.Fatal(err)
	}
	e.OK("pull", "-q", image)
}

// Five things that go wrong, five errors that say which and what to do.
func TestRegistryErrors(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	ca := must[*registry.Authority](t)(registry.NewAuthority())
	config, err := ca.Config()
	if err != nil {
		t.Fatal(err)
	}
	secure, err := registry.NewFront(registry.Memory(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer secure.Close()
	f := e.front(registry.Memory())
	down := e.front(registry.Memory())
	if err := down.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, f.Addr, "a", "1", small(t, "x"))
	f.Fault("GET", "/v2/denied/", -1, registry.Answer(403, "DENIED", "not for you\x1b[31m\nred"))
	f.Fault("HEAD", "/v2/denied/", -1, registry.Answer(403, "DENIED", "not for you"))
	f.Fault("GET", "/v2/secret/", -1, registry.Answer(401, "UNAUTHORIZED", "who are you", "WWW-Authenticate", `Basic realm="x"`))
	f.Fault("HEAD", "/v2/secret/", -1, registry.Answer(401, "UNAUTHORIZED", "who are you", "WWW-Authenticate", `Basic realm="x"`))
	seen := map[string]string{}
	for name, x := range map[string]struct {
		image string
		words []string
	}{
		"down":      {down.Addr + "/a:1", []string{"connection refused", down.Addr}},
		"tls":       {secure.Addr + "/a:1", []string{"certificate", "certs.d", secure.Addr}},
		"login":     {f.Addr + "/secret/a:1", []string{"sbx login " + f.Addr}},
		"denied":    {f.Addr + "/denied/a:1", []string{"denies", "not for you"}},
		"not found": {f.Addr + "/a:2", []string{"a:2", "does not have it"}},
	} {
		err := e.refused(1, x.words, "pull", "-q", x.image)
		if strings.ContainsAny(strings.TrimSuffix(err, "\n"), "\x1b\n") {
			t.Errorf("%s: not printable: %q", name, err)
		}
		shape := strings.NewReplacer(x.image, "IMAGE", f.Addr, "HOST", down.Addr, "HOST", secure.Addr, "HOST").Replace(err)
		if other, again := seen[shape]; again {
			t.Errorf("%s and %s have the same error: %q", name, other, err)
		}
		seen[shape] = name
		e.refused(125, x.words, "run", "-q", "--rm", x.image)
		t.Logf("%s: %s", name, strings.TrimSpace(err))
	}
	e.noImages()
	// Plain HTTP where TLS is expected.
	plain := must[*registry.Front](t)(registry.NewFront(registry.Memory(), nil))
	defer plain.Close()
	e.refused(1, []string{"HTTP", plain.Addr, "--tls-verify=false"}, "pull", "-q", plain.Addr+"/a:1")
	put(t, plain.Addr, "a", "1", small(t, "x"))
	e.OK("pull", "-q", "--tls-verify=false", plain.Addr+"/a:1")
	// A directory of certificates by flag, and no check at all.
	certs := t.TempDir()
	if err := os.WriteFile(filepath.Join(certs, "ca.crt"), ca.PEM, 0o600); err != nil {
		t.Fatal(err)
	}
	e.refused(1, []string{"does not have it"}, "pull", "-q", "--cert-dir", certs, secure.Addr+"/a:1")
	e.refused(1, []string{"does not have it"}, "pull", "-q", "--tls-verify=false", secure.Addr+"/a:1")
}

// Tokens as the big registries use them, and a host elsewhere that serves the
// blobs: nobody but their own server sees a secret.
func TestRegistryTokensStay(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	memory := registry.Memory()
	f, elsewhere := e.front(memory), e.front(memory)
	p := small(t, "x")
	put(t, f.Addr, "a", "1", p)
	for _, method := range []string{"GET", "HEAD"} {
		f.Fault(method, "/v2/", -1, registry.Token("http://"+f.Addr))
	}
	f.Fault("GET", "/token", -1, registry.Tokens)
	image := f.Addr + "/a:1"
	defer e.argv()()
	e.refused(1, []string{"sbx login " + f.Addr}, "pull", "-q", image)
	if r := e.RunIn(registry.Password, "login", "-u", registry.User, "--password-stdin", f.Addr); r.Code != 0 {
		t.Fatalf("login: %+v", r)
	}
	for _, b := range append(p.Blobs, p.Config) {
		f.Fault("GET", b.Digest(), -1, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			registry.Token("http://"+f.Addr)(w, r, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				registry.To("http://localhost"+elsewhere.Addr[strings.LastIndex(elsewhere.Addr, ":"):])(w, r, next)
			}))
		})
	}
	f.Forget()
	e.Is(p.ID(), "pull", "-q", image)
	there := elsewhere.Requests("GET", "/blobs/")
	if len(there) != len(p.Blobs)+1 {
		t.Errorf("%d blobs were fetched elsewhere", len(there))
	}
	for _, r := range there {
		if r.Authorization != "" {
			t.Errorf("the other host got %q", r.Authorization)
		}
	}
	e.secretsIn(filepath.Join(e.Home, "runtime/containers/auth.json"))
	for _, r := range f.Requests("", "") {
		if !strings.HasPrefix(r.Agent, "sbx/") {
			t.Errorf("%s %s by %q", r.Method, r.Path, r.Agent)
			break
		}
	}
}

// registries.conf: mirrors are asked first, and the origin when they fail; what is
// blocked is not asked.
func TestRegistryConf(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	origin := must[*registry.Front](t)(registry.NewFront(registry.Memory(), nil))
	defer origin.Close()
	mirror := must[*registry.Front](t)(registry.NewFront(registry.Memory(), nil))
	defer mirror.Close()
	p, q := small(t, "both"), small(t, "origin")
	put(t, origin.Addr, "a", "1", p)
	put(t, mirror.Addr, "copy/a", "1", p)
	put(t, origin.Addr, "a", "2", q)
	e.configure("registries.conf", `unqualified-search-registries = ["`+origin.Addr+`"]
[[registry]]
prefix = "example.com/hub"
location = "`+origin.Addr+`"
insecure = true
[[registry.mirror]]
location = "`+mirror.Addr+`/copy"
insecure = true
[[registry]]
location = "`+origin.Addr+`"
insecure = true
[[registry]]
location = "blocked.example.com"
blocked = true
`)
	origin.Forget()
	e.Is(p.ID(), "pull", "-q", "example.com/hub/a:1")
	if mirror.Count("GET", "/blobs/") == 0 || origin.Count("GET", "/blobs/") != 0 {
		t.Error("the mirror was not asked first")
	}
	e.Is("both", "run", "--rm", "--pull", "never", "example.com/hub/a:1")
	e.Is(q.ID(), "pull", "-q", "example.com/hub/a:2") // only the origin has it
	e.refused(1, []string{"blocked.example.com", "registries.conf blocks"}, "pull", "-q", "blocked.example.com/x")
	// A short name goes where the file says.
	e.OK("rmi", "-f", p.ID())
	e.Is(p.ID(), "pull", "-q", "a:1")
	// The same by the environment.
	conf := filepath.Join(e.Home, "other.conf")
	if err := os.WriteFile(conf, []byte("[[registry]]\nlocation = \""+origin.Addr+"\"\nblocked = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Extra = append(e.Extra, "CONTAINERS_REGISTRIES_CONF="+conf)
	e.refused(1, []string{"blocks"}, "pull", "-q", origin.Addr+"/a:1")
	if err := os.WriteFile(conf, []byte("[[registry]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.refused(1, []string{conf}, "pull", "-q", origin.Addr+"/a:1")
}

// The command line's proxy is used, with its password, and no_proxy honoured.
func TestRegistryProxy(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	p := small(t, "x")
	put(t, f.Addr, "a", "1", p)
	proxied := make(chan *http.Request, 100)
	proxy := must[*registry.Front](t)(registry.NewFront(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		proxied <- r
		if r.Header.Get("Proxy-Authorization") == "" {
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		f.ServeHTTP(w, r) // whatever host was asked for
	}), nil))
	defer proxy.Close()
	e.plain("registry.example.com:5000")
	e.Extra = append(e.Extra, "HTTP_PROXY=http://me:hush@"+proxy.Addr, "NO_PROXY=direct.example.com,127.0.0.1,localhost")
	e.Is(p.ID(), "pull", "-q", "registry.example.com:5000/a:1")
	if len(proxied) == 0 || (<-proxied).URL.Host != "registry.example.com:5000" {
		t.Error("the proxy was not asked")
	}
	for len(proxied) > 0 {
		<-proxied
	}
	e.Is(p.ID(), "pull", "-q", f.Addr+"/a:1")
	if len(proxied) > 0 {
		t.Errorf("the proxy was asked for %s", (<-proxied).URL)
	}
	// The next command has another environment, and the supervisor is the same.
	e.Extra = append(e.Extra, "HTTP_PROXY=http://me:hush@127.0.0.1:1")
	err := e.refused(1, []string{"proxy 127.0.0.1:1"}, "pull", "-q", "registry.example.com:5000/a:1")
	if strings.Contains(err, "hush") {
		t.Errorf("the proxy's password is shown: %q", err)
	}
	if log, err := os.ReadFile(e.Data + "/sbxd.log"); err == nil && strings.Contains(string(log), "hush") {
		t.Error("the proxy's password is in the log")
	}
}

// A credential helper is found by the caller's PATH.
func TestRegistryCredentialHelper(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	r := real(t, registry.Options{Auth: true})
	e.plain(r.Addr)
	bin := filepath.Join(e.Home, "bin")
	kept := filepath.Join(e.Home, "kept")
	helper := "#!/bin/sh\ncase $1 in\nstore) cat >" + kept + " ;;\nget) cat >/dev/null; cat " + kept + " ;;\nerase) cat >/dev/null; rm " + kept + " ;;\nlist) echo '{}' ;;\nesac\n"
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bin+"/docker-credential-test", []byte(helper), 0o700); err != nil {
		t.Fatal(err)
	}
	e.configure("auth.json", `{"credHelpers":{"`+r.Addr+`":"test"}}`)
	e.Extra = append(e.Extra, "PATH="+bin+":/usr/bin:/bin")
	defer e.argv()()
	if r := e.RunIn(registry.Password, "login", "-u", registry.User, "--password-stdin", r.Addr); r.Code != 0 {
		t.Fatalf("login: %+v", r)
	}
	if raw, err := os.ReadFile(kept); err != nil || !strings.Contains(string(raw), registry.User) {
		t.Errorf("the helper was given %d bytes, %v", len(raw), err)
	}
	e.Busybox()
	e.OK("push", "-q", "busybox", r.Addr+"/a:1")
	e.OK("logout", r.Addr)
	if _, err := os.Stat(kept); err == nil {
		t.Error("the helper was not told to forget")
	}
}

func TestRegistryPolicy(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	put(t, f.Addr, "a", "1", small(t, "x"))
	put(t, f.Addr, "good/a", "1", small(t, "y"))
	e.configure("policy.json", `{"default":[{"type":"reject"}],"transports":{"docker":{"`+f.Addr+`/good":[{"type":"insecureAcceptAnything"}]}}}`)
	e.refused(1, []string{"policy"}, "pull", "-q", f.Addr+"/a:1")
	e.noImages()
	e.OK("pull", "-q", f.Addr+"/good/a:1")
	anything := filepath.Join(e.Home, "any.json")
	if err := os.WriteFile(anything, []byte(`{"default":[{"type":"insecureAcceptAnything"}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	e.OK("pull", "-q", "--signature-policy", anything, f.Addr+"/a:1")
	e.refused(125, []string{"/no/such"}, "pull", "-q", "--signature-policy", "/no/such", f.Addr+"/a:1")
}

func TestRegistrySearch(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	for _, repo := range []string{"team/apple", "team/pear", "other"} {
		put(t, f.Addr, repo, "1", small(t, "x"))
	}
	if out := e.OK("search", f.Addr+"/team"); !strings.HasPrefix(out, "NAME") || !strings.Contains(out, "team/apple") || strings.Contains(out, "other") {
		t.Errorf("search: %q", out)
	}
	if out := e.OK("search", "--format", "{{.Name}}", "--limit", "1", f.Addr+"/team"); strings.Count(out, "\n") != 0 || out == "" {
		t.Errorf("search --limit 1: %q", out)
	}
}
