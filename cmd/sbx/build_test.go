package main

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"sbx/api"
	"sbx/internal/sys"
)

// sent is what a supervisor gets of a build: the request, and what is in the files.
type sent struct {
	api.Build
	Files []string
}

// builder is a supervisor that answers builds with the id "sha256:0123", and gives
// what it got. It writes "result" to the output and "facts" to the metadata.
func (h home) builder() <-chan sent {
	got := make(chan sent, 10)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		defer p.CloseFiles()
		var b sent
		if err := p.Decode(&b.Build); err != nil {
			return err
		}
		for i, f := range p.Files {
			b.Files = append(b.Files, describe(f))
			if b.Metadata && i == len(p.Files)-1 {
				f.WriteString("facts")
			} else if strings.HasPrefix(b.Files[i], "empty ") {
				f.WriteString("result")
			}
		}
		got <- b
		conn.Send(api.KindErr, api.Text{Text: "#1 a step\n"})
		return conn.Send(api.KindDone, api.Done{Text: "sha256:0123"})
	})
	return got
}

// describe says what a file is: "dir NAME", the content, or "empty NAME".
func describe(f *os.File) string {
	st, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fdOf(f)))
	if err != nil {
		return err.Error()
	}
	if st.IsDir() {
		return "dir " + filepath.Base(path)
	}
	if st.Size() == 0 && st.Mode().IsRegular() {
		return "empty " + strings.SplitN(filepath.Base(path), ".tmp-", 2)[0]
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (h home) write(name, text string) {
	h.t.Helper()
	path := filepath.Join(h.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

// TestBuildRequests: the words of build as they travel, and the files that come along.
func TestBuildRequests(t *testing.T) {
	h := newHome(t)
	got := h.builder()
	h.write("ctx/Dockerfile", "FROM a")
	h.write("ctx/Containerfile", "FROM b")
	h.write("pod/Containerfile", "FROM c")
	h.write("pod/Containerfile.dockerignore", "*.o")
	h.write("other/x.docker", "FROM d")
	h.write("ctx.tar", "a tar archive")
	h.write("token", "hunter2")
	for words, want := range map[string]string{
		"ctx":       `{"context":"dir","where":"ctx","dockerfile":"Dockerfile","dockerfileFile":true} [dir ctx|FROM a]`,
		"pod":       `{"context":"dir","where":"pod","dockerfile":"Containerfile","dockerfileFile":true,"ignoreFile":true} [dir pod|FROM c|*.o]`,
		"-f - ctx":  `{"context":"dir","where":"ctx","dockerfile":"Dockerfile","dockerfileFile":true} [dir ctx|piped]`,
		"-":         `{"context":"archive","where":"-"} [piped]`,
		"-f x/y -":  `{"context":"archive","where":"-","dockerfile":"x/y"} [piped]`,
		"ctx.tar":   `{"context":"archive","where":"ctx.tar"} [a tar archive]`,
		"--check -": `{"context":"archive","where":"-","check":true} [piped]`,
		"-f other/x.docker --ignorefile token ctx":          `{"context":"dir","where":"ctx","dockerfile":"other/x.docker","dockerfileFile":true,"ignoreFile":true} [dir ctx|FROM d|hunter2]`,
		"https://a.example/b.git#v1:dir":                    `{"context":"git","url":"https://a.example/b.git#v1:dir","where":"https://a.example/b.git#v1:dir"} []`,
		"git@a.example:b/c":                                 `{"context":"git","url":"git@a.example:b/c","where":"git@a.example:b/c"} []`,
		"github.com/a/b":                                    `{"context":"git","url":"github.com/a/b","where":"github.com/a/b"} []`,
		"https://a.example/b.tar.gz":                        `{"context":"http","url":"https://a.example/b.tar.gz","where":"https://a.example/b.tar.gz"} []`,
		"-t a -t b:1 --target x --no-cache --pull ctx":      `{"tags":["a","b:1"],"target":"x","noCache":true,"pull":"always"} [dir ctx|FROM a]`,
		"--pull=false --squash --format docker ctx":         `{"squash":true,"format":"docker"} [dir ctx|FROM a]`,
		"--build-arg A=1=2 --build-arg FROM_HERE ctx":       `{"args":{"A":"1=2","FROM_HERE":"there"}} [dir ctx|FROM a]`,
		"--build-arg NOT_THERE --label a=b --label c ctx":   `{"labels":{"a":"b","c":""}} [dir ctx|FROM a]`,
		"--network bridge --add-host a=::1 ctx":             `{"network":"default","addHosts":["a:::1"]} [dir ctx|FROM a]`,
		"-m 1g --cpus 1.5 --ulimit nofile=7:9 ctx":          `{"limits":{"memory":1073741824,"nano_cpus":1500000000},"rlimits":[{"name":"nofile","soft":7,"hard":9}]} [dir ctx|FROM a]`,
		"--source-date-epoch 5 ctx":                         `{"timestamp":5,"args":{"SOURCE_DATE_EPOCH":"5"}} [dir ctx|FROM a]`,
		"--secret id=a,src=token --secret id=FROM_HERE ctx": `{"secrets":[{"id":"a"},{"id":"FROM_HERE"}]} [dir ctx|FROM a|hunter2|there]`,
		"--secret id=token --secret id=b,env=FROM_HERE ctx": `{"secrets":[{"id":"token"},{"id":"b"}]} [dir ctx|FROM a|hunter2|there]`,
		"--secret type=env,id=b,src=FROM_HERE ctx":          `{"secrets":[{"id":"b"}]} [dir ctx|FROM a|there]`,
		"--build-context a=pod --build-context b=docker-image://x --build-context c=target:y ctx": `{"contexts":[{"name":"a","dir":true,"value":"pod"},{"name":"b","value":"docker-image://x"},` +
			`{"name":"c","value":"target:y"}]} [dir ctx|FROM a|dir pod]`,
		"--allow network.host --shm-size 1m ctx":            `{"limits":{"shm_size":1048576},"allow":["network.host"]} [dir ctx|FROM a]`,
		"-o type=tar,dest=out.tar --metadata-file meta ctx": `{"output":{"type":"tar"},"metadata":true} [dir ctx|FROM a|empty out.tar|empty meta]`,
		"-o out ctx": `{"output":{"type":"local"}} [dir ctx|FROM a|dir out]`,
		"-o type=docker --load --rm --provenance=false ctx":                       `{} [dir ctx|FROM a]`,
		"--cache-from a --cache-from type=local,src=b --cache-to type=inline ctx": `{"cacheFrom":["a","type=local,src=b"],"cacheTo":["type=inline"]} [dir ctx|FROM a]`,
		"-o type=image,name=x ctx":                                                `{"tags":["x"]} [dir ctx|FROM a]`,
		"--progress rawjson -q ctx":                                               `{"quiet":true,"progress":"rawjson"} [dir ctx|FROM a]`,
	} {
		cmd := h.command(append([]string{"build"}, strings.Fields(words)...)...)
		cmd.Stdin = strings.NewReader("piped")
		result := finish(t, cmd)
		if result.code != 0 || result.out != "sha256:0123\n" || result.err != "#1 a step\n" {
			t.Errorf("%s: %+v", words, result)
			continue
		}
		b := <-got
		text, files, _ := strings.Cut(want, " [")
		var wanted api.Build
		if err := json.Unmarshal([]byte(text), &wanted); err != nil {
			t.Fatal(words, err)
		}
		fillIn(&wanted, &b.Build)
		if !reflect.DeepEqual(wanted, b.Build) || strings.Join(b.Files, "|")+"]" != files {
			sent, _ := json.Marshal(b.Build)
			t.Errorf("%s:\n got %s %q\nwant %s %s", words, sent, b.Files, text, files)
		}
	}
}

// fillIn puts what every one of these builds has into what is wanted.
func fillIn(wanted, got *api.Build) {
	if wanted.Context == "" {
		wanted.Context, wanted.Where, wanted.Dockerfile, wanted.DockerfileFile = api.ContextDir, "ctx", "Dockerfile", true
	}
	if wanted.Progress == "" {
		wanted.Progress = "plain"
	}
	if wanted.Pull == "" {
		wanted.Pull = api.PullMissing
	}
	wanted.Reach = got.Reach
	if len(wanted.CacheFrom)+len(wanted.CacheTo) > 0 && filepath.IsAbs(got.Dir) {
		wanted.Dir = got.Dir
	}
}

// TestBuildNames: Docker's other words for build.
func TestBuildNames(t *testing.T) {
	h := newHome(t)
	got := h.builder()
	h.write("Dockerfile", "FROM a")
	for _, words := range []string{"build .", "image build .", "buildx build .", "builder build ."} {
		if r := h.sbx(strings.Fields(words)...); r.code != 0 {
			t.Errorf("%s: %+v", words, r)
			continue
		}
		<-got
	}
}

// TestBuildFiles: what comes of a build is there under its name, whole, and nothing
// is there of a build that fails.
func TestBuildFiles(t *testing.T) {
	h := newHome(t)
	h.builder()
	h.write("Dockerfile", "FROM a")
	h.sbx("build", "-o", "type=oci,dest=o.tar", "--iidfile", "id", "--metadata-file", "meta", ".").want(t, result{out: "sha256:0123\n", err: "#1 a step\n"})
	for name, want := range map[string]string{"o.tar": "result", "id": "sha256:0123", "meta": "facts"} {
		if text, err := os.ReadFile(filepath.Join(h.dir, name)); string(text) != want || err != nil {
			t.Errorf("%s has %q, %v", name, text, err)
		}
	}
}

func TestBuildFails(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		defer p.CloseFiles()
		return conn.Send(api.KindFault, api.Errorf("build", "Dockerfile:1", "RUN false: exit status 1"))
	})
	h.write("Dockerfile", "FROM a")
	h.sbx("build", "-o", "type=oci,dest=o.tar", "--iidfile", "id", "--metadata-file", "meta", ".").
		want(t, result{err: "sbx: build Dockerfile:1: RUN false: exit status 1\n", code: 1})
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != "Dockerfile" && !e.IsDir() {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// TestBuildToStdout: an archive has standard output for itself.
func TestBuildToStdout(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		defer p.CloseFiles()
		p.Files[2].WriteString("archive")
		conn.Send(api.KindOut, api.Text{Text: "a word\n"})
		return conn.Send(api.KindDone, api.Done{Text: "sha256:0123"})
	})
	h.write("Dockerfile", "FROM a")
	h.sbx("build", "-o", "-", ".").want(t, result{out: "archive", err: "a word\nsha256:0123\n"})
}

// TestBuildPush: the image is pushed under each name once it is built.
func TestBuildPush(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		defer p.CloseFiles()
		if p.Kind == api.VerbBuild {
			return conn.Send(api.KindDone, api.Done{Text: "sha256:0123"})
		}
		var push api.Push
		if err := p.Decode(&push); err != nil {
			return err
		}
		return conn.Send(api.KindDone, api.Done{Text: "pushed " + push.Name})
	})
	h.write("Dockerfile", "FROM a")
	h.sbx("build", "--push", "-t", "r.example/a", "-t", "r.example/b", ".").
		want(t, result{out: "sha256:0123\npushed r.example/a\npushed r.example/b\n"})
	h.sbx("build", "--push", ".").want(t, result{err: "sbx: build: --push: the image needs a name: give -t\n", code: 125})
	h.sbx("build", "--push", "-t", "a", "-o", "out", ".").
		want(t, result{err: "sbx: build: --push: there is no image with --output type=local\n", code: 125})
}

// TestBuildSSH: the agent's socket travels by its path, keys as open files.
func TestBuildSSH(t *testing.T) {
	h := newHome(t)
	got := h.builder()
	h.write("Dockerfile", "FROM a")
	h.write("one", "PRIVATE")
	h.write("two", "PRIVATE")
	one, two := filepath.Join(h.dir, "one"), filepath.Join(h.dir, "two")
	path := filepath.Join(h.dir, "agent")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cmd := h.command("build", "--ssh", "default", "--ssh", "other=agent", "--ssh", "keys=one,"+two, ".")
	cmd.Env = append(cmd.Env, "SSH_AUTH_SOCK="+path)
	if r := finish(t, cmd); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	want := []api.BuildSSH{{ID: "default", Socket: path}, {ID: "other", Socket: path}, {ID: "keys", Keys: []string{one, two}}}
	if b := <-got; !reflect.DeepEqual(b.SSH, want) {
		t.Errorf("sent %+v", b.SSH)
	}
	h.sbx("build", "--ssh", "default=one,agent", ".").
		want(t, result{err: "sbx: build: --ssh \"default=one,agent\": expected one agent, or keys\n", code: 125})
	h.sbx("build", "--ssh", "default=none", ".").
		want(t, result{err: "sbx: build: --ssh \"none\": no such file or directory\n", code: 125})
}

// TestBuildTerminal: on a terminal the progress is for one, of its size, and the
// supervisor is told when that changes.
func TestBuildTerminal(t *testing.T) {
	h := newHome(t)
	sizes := make(chan api.Size, 2)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		defer p.CloseFiles()
		var b api.Build
		if err := p.Decode(&b); err != nil {
			return err
		}
		if b.Progress != "tty" || b.Colour {
			t.Errorf("progress %q, colour %t", b.Progress, b.Colour)
		}
		sizes <- b.Size
		resize, err := conn.Recv()
		if err != nil {
			return err
		}
		var size api.Size
		if err := resize.Decode(&size); err != nil || resize.Kind != api.KindResize {
			t.Errorf("got %q, %v", resize.Kind, err)
		}
		sizes <- size
		return conn.Send(api.KindDone, api.Done{Text: "sha256:0123"})
	})
	h.write("Dockerfile", "FROM a")
	master, tty, err := pty(api.Size{Rows: 10, Cols: 40})
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	cmd := h.command("build", ".")
	cmd.Env = append(cmd.Env, "TERM=xterm", "NO_COLOR=1")
	onTTY(cmd, tty)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	go io.Copy(io.Discard, master)
	for _, want := range []api.Size{{Rows: 10, Cols: 40}, {Rows: 20, Cols: 50}} {
		select {
		case size := <-sizes:
			if size != want {
				t.Errorf("size %v, want %v", size, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("no size was sent")
		}
		if err := sys.SetWinsize(fdOf(master), 20, 50); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestPruneBuilds(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		return conn.Send(api.KindDone, api.Done{Text: p.Kind + " " + string(p.Body)})
	})
	for words, want := range map[string]string{
		"builder prune -f": `builder prune {}`,
		"buildx prune -af --reserved-space 1g --filter until=24h": `builder prune {"all":true,"keepStorage":1073741824,"filters":["until=24h"]}`,
	} {
		h.sbx(strings.Fields(words)...).want(t, result{out: want + "\n"})
	}
	h.sbx("builder", "prune").want(t, result{out: "WARNING! This will remove all dangling build cache.\nAre you sure you want to continue? [y/N] "})
}
