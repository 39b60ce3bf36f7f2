package tests

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// program of the host, with the libraries it needs, as files below a directory. For an
// image that has nothing else.
func hostProgram(t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := must[string](t)(exec.LookPath(name))
		paths := []string{path}
		for word := range strings.FieldsSeq(string(must[[]byte](t)(outputOf("ldd", path)))) {
			if strings.HasPrefix(word, "/") {
				paths = append(paths, word)
			}
		}
		for _, path := range paths {
			to := filepath.Join(dir, path)
			data := must[[]byte](t)(os.ReadFile(path))
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, data, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// key makes a key pair as a user does, and gives the file of the private one.
func (e *Env) key(name, passphrase string) (path, public string) {
	e.t.Helper()
	path = filepath.Join(e.Home, name)
	must[[]byte](e.t)(outputOf("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-C", "key of "+name, "-f", path))
	return path, strings.TrimSpace(string(must[[]byte](e.t)(os.ReadFile(path + ".pub"))))
}

// agent starts an agent with a key in it, until the end of the test.
func (e *Env) agent(key string) (socket string) {
	e.t.Helper()
	socket = filepath.Join(e.Home, "agent")
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, "ssh-agent", "-D", "-a", socket)
	if err := c.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		cancel()
		_ = c.Wait()
	})
	e.Eventually("the agent listens", func() bool { return exists(socket) == nil })
	e.sshAdd(socket, key)
	return socket
}

// sshAdd is ssh-add on the host.
func (e *Env) sshAdd(socket string, args ...string) string {
	e.t.Helper()
	c := exec.Command("ssh-add", args...)
	c.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	out, err := c.CombinedOutput()
	if err != nil {
		e.t.Fatalf("ssh-add %q: %v: %s", args, err, out)
	}
	return string(out)
}

// buildWith is build with further variables.
func (e *Env) buildWith(env []string, args ...string) Result {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	c := e.Command(ctx, append([]string{"build", "--progress", "plain"}, args...)...)
	var out, errs bytes.Buffer
	c.Env, c.Stdout, c.Stderr = append(c.Env, env...), &out, &errs
	return e.result(c.Run(), ctx, c, &out, &errs)
}

// sshImage is a Dockerfile's first lines: an image with OpenSSH's own client programs.
const sshImage = "FROM busybox AS tools\nCOPY root/ /\n"

func (e *Env) sshContext(dockerfile string) string {
	e.t.Helper()
	Need(e.t, "ssh")
	e.Busybox()
	dir := e.contextOf("context", "Dockerfile", sshImage+dockerfile)
	hostProgram(e.t, filepath.Join(dir, "root"), "ssh-add")
	return dir
}

// A step uses the keys of the user's agent, and can do nothing else with it. A step
// that has not asked for it, and one that comes later, does not reach it.
func TestBuildSSHAgent(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	dir := e.sshContext(`RUN --mount=type=ssh ssh-add -L && echo $SSH_AUTH_SOCK >/where && mkdir /left && (cp $SSH_AUTH_SOCK /left/ || true)
RUN --mount=type=ssh ! ssh-add -D && ! ssh-add -d && ssh-add -l
RUN --mount=type=ssh,id=other,target=/here SSH_AUTH_SOCK=/here ssh-add -l
RUN ! ssh-add -l && ! SSH_AUTH_SOCK=$(cat /where) ssh-add -l && find / -xdev -type s | grep . && exit 1 || true
`)
	key, public := e.key("alices", "")
	socket := e.agent(key)
	r := e.buildWith([]string{"SSH_AUTH_SOCK=" + socket}, "--ssh", "default", "--ssh", "other="+socket, dir)
	if r.Code != 0 {
		t.Fatalf("status %d\n%s", r.Code, r.Err)
	}
	if !strings.Contains(r.Err, public) || strings.Count(r.Err, "(ED25519)") != 2 {
		t.Errorf("the steps do not see the key:\n%s", r.Err)
	}
	if list := e.sshAdd(socket, "-L"); strings.TrimSpace(list) != public {
		t.Errorf("the agent has %q", list)
	}
	if r := e.buildWith(nil, "--ssh", "default="+socket, "--ssh", "="+socket, dir); r.Code == 0 || !strings.Contains(r.Err, "--ssh default is given twice") {
		t.Errorf("one id twice: status %d\n%s", r.Code, r.Err)
	}
	if r := e.buildWith(nil, "--no-cache", dir); r.Code == 0 || strings.Contains(r.Err, public) {
		t.Errorf("without --ssh: status %d\n%s", r.Code, r.Err)
	}
}

// Keys in files are used without an agent of the user's, and are in no file, argument
// or variable of ours.
func TestBuildSSHKeys(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	one, public1 := e.key("one", "")
	two, public2 := e.key("two", "")
	dir := e.sshContext("RUN --mount=type=ssh ssh-add -L && ! ssh-add -D\n")
	r := e.buildWith(nil, "--ssh", "default="+one+","+two, "-t", "made", dir)
	for _, public := range []string{public1, public2} {
		// The comment is not known of a key that is read from its file.
		if public = strings.Join(strings.Fields(public)[:2], " "); r.Code != 0 || !strings.Contains(r.Err, public) {
			t.Errorf("status %d, no %s:\n%s", r.Code, public, r.Err)
		}
	}
	line := strings.Split(string(must[[]byte](t)(os.ReadFile(one))), "\n")[2]
	for _, place := range []string{e.Data, e.Instance.Run} {
		if found := contains(t, line, place); len(found) > 0 {
			t.Errorf("the key is in %q", found)
		}
	}
	for _, p := range e.Processes() {
		environ, _ := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/environ")
		if strings.Contains(strings.Join(p.Args, " ")+string(environ), line) {
			t.Errorf("%s has the key", p)
		}
	}
	locked, _ := e.key("locked", "a passphrase")
	for words, src := range map[string]string{"it is encrypted": locked, "ssh-add " + locked: locked, "it is no private key": one + ".pub", "is a directory": e.Home} {
		if r := e.buildWith(nil, "--ssh", "default="+src, dir); r.Code == 0 || !strings.Contains(r.Err, words) {
			t.Errorf("%s: status %d, %s", src, r.Code, r.Err)
		}
	}
}

// sshd serves the repositories of a directory by ssh, to who has one of the keys.
func (e *Env) sshd(authorized ...string) (address, hostKey string) {
	e.t.Helper()
	host, hostKey := e.key("host", "")
	config, keys := filepath.Join(e.Home, "sshd_config"), filepath.Join(e.Home, "authorized")
	var allowed strings.Builder
	for _, key := range authorized {
		allowed.WriteString(`restrict,command="git-shell -c \"$SSH_ORIGINAL_COMMAND\"" ` + key + "\n")
	}
	text := "HostKey " + host + "\nAuthorizedKeysFile " + keys + "\nUsePAM no\nStrictModes no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPidFile none\nLogLevel ERROR\n"
	for path, data := range map[string]string{config: text, keys: allowed.String()} {
		if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
			e.t.Fatal(err)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	e.t.Cleanup(func() {
		cancel()
		l.Close()
		<-done
	})
	program := must[string](e.t)(exec.LookPath("sshd"))
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f, err := c.(*net.TCPConn).File()
			c.Close()
			if err != nil {
				return
			}
			// As inetd does: the port is ours all the time.
			server := exec.CommandContext(ctx, program, "-i", "-f", config)
			server.Stdin, server.Stdout = f, f
			err = server.Start()
			f.Close()
			if err == nil {
				go func() { _ = server.Wait() }()
			}
		}
	}()
	return l.Addr().String(), strings.Join(strings.Fields(hostKey)[:2], " ")
}

// A repository is fetched over ssh with the keys of --ssh, from a server whose key is
// known. One that a Dockerfile names is not fetched with any other key.
func TestBuildGitSSH(t *testing.T) {
	t.Parallel()
	Need(t, "ssh", "sshd", "git")
	e := Sbx(t)
	e.Busybox()
	key, public := e.key("git", "")
	address, hostKey := e.sshd(public)
	work := e.contextOf("work", "Dockerfile", "FROM busybox\nCOPY name /\nRUN cat /name\n", "name", "over ssh\n")
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "."}, {"-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "1"}} {
		must[[]byte](t)(outputOf("git", append([]string{"-C", work}, args...)...))
	}
	me := must[*user.User](t)(user.Current())
	url := "ssh://" + me.Username + "@" + address + work
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	fails := func(what string, words []string, args ...string) {
		t.Helper()
		r := e.buildWith(nil, args...)
		for _, word := range words {
			if r.Code == 0 || !strings.Contains(r.Err, word) {
				t.Errorf("%s: status %d, no %q in\n%s", what, r.Code, word, r.Err)
			}
		}
	}
	succeeds := func(what string, args ...string) {
		t.Helper()
		if r := e.buildWith(nil, append([]string{"--no-cache"}, args...)...); r.Code != 0 || !strings.Contains(r.Err, "over ssh") {
			t.Errorf("%s: status %d\n%s", what, r.Code, r.Err)
		}
	}
	home := func(name, text string) {
		t.Helper()
		path := filepath.Join(e.Home, ".ssh", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	known := "[127.0.0.1]:" + port
	add := e.contextOf("add", "Dockerfile", "FROM busybox\nADD "+url+" /src\nRUN cat /src/name\n")
	fails("an unknown server", []string{"the key of " + known + " is not in known_hosts", "ssh-keyscan -p " + port + " 127.0.0.1"}, "--ssh", "default="+key, url)
	home("known_hosts", known+" "+strings.Join(strings.Fields(public)[:2], " ")+"\n")
	fails("a server with another key", []string{"is another one than known_hosts has", "ssh-keygen -R"}, "--ssh", "default="+key, url)
	home("known_hosts", known+" "+hostKey+"\n")
	fails("no key", []string{"accepts none of the keys", "--ssh default"}, url)
	succeeds("a key", "--ssh", "default="+key, url)
	succeeds("a key of an ADD", "--ssh", "default="+key, add)
	succeeds("an agent", "--ssh", "default="+e.agent(key), url)
	// A step reaches it with the key, too, as a program of OpenSSH's in the image does it.
	tools := e.contextOf("tools", "Dockerfile", sshImage+"RUN mkdir -p /dev/shm && rm -rf /etc/passwd && echo root:x:0:0::/:/bin/sh >/etc/passwd\n"+
		"RUN --network=host --mount=type=ssh ssh -F none -p "+port+" -o StrictHostKeyChecking=accept-new "+me.Username+"@127.0.0.1 \"git-upload-pack '"+work+"'\" </dev/null | grep -a refs/heads/main\n")
	hostProgram(t, filepath.Join(tools, "root"), "ssh")
	if r := e.buildWith(nil, "--ssh", "default="+key, "--allow", "network.host", tools); r.Code != 0 {
		t.Errorf("ssh in a step: status %d\n%s", r.Code, r.Err)
	}
	fails("a key for something else", []string{"Dockerfile:2", "accepts none of the keys"}, "--no-cache", "--ssh", "other="+key, add)
	// The user's own key is for what the user names.
	home("id_ed25519", string(must[[]byte](t)(os.ReadFile(key))))
	succeeds("the key of the home directory", url)
	fails("the key of the home directory, by a Dockerfile", []string{"Dockerfile:2", "accepts none of the keys", "--ssh default"}, "--no-cache", add)
	home("config", "Host box\n\tHostName 127.0.0.1\n\tPort "+port+"\n\tUser "+me.Username+"\n\tHostKeyAlias "+known+"\n")
	succeeds("a name of the user's configuration", "ssh://box"+work)
}
