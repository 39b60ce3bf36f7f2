package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

func TestRunStatusAndStreams(t *testing.T) {
	h := newHome(t)
	h.fake(host(t))
	h.sbx("run", "--rm", "img", "sh", "-c", "echo out; echo err >&2; exit 3").
		want(t, result{"out\n", "err\n", 3})
	h.sbx("run", "img", "sh", "-c", "echo out; echo err >&2; exit 3").
		want(t, result{"out\n", "err\n", 3})
	h.sbx("exec", "box", "sh", "-c", "echo out; kill -9 $$").
		want(t, result{"out\n", "", 137})
	h.sbx("run", "-a", "stderr", "img", "sh", "-c", "echo out; echo err >&2").
		want(t, result{"", "err\n", 0})
	h.sbx("run", "--rm", "img", "cat").want(t, result{})
}

// TestRunPlan: what of the caller's files travels, and what is relayed.
func TestRunPlan(t *testing.T) {
	h := newHome(t)
	type seen struct {
		run   api.Run
		kinds string
	}
	requests := make(chan seen, 1)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		defer p.CloseFiles()
		var s seen
		if err := p.Decode(&s.run); err != nil {
			return err
		}
		for _, f := range p.Files {
			s.kinds += fileKind(f)
		}
		requests <- s
		return conn.Send(api.KindExited, api.Done{})
	})
	file, err := os.Create(filepath.Join(h.dir, "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	fifo := filepath.Join(h.dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	named, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer named.Close()
	zero, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer zero.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, test := range []struct {
		args         string
		in, out, err *os.File
		want         string
		kinds        string
	}{
		{"--rm", r, w, w, `{"out":true,"err":true,"direct":true}`, "caller caller "},
		{"--rm -i", r, w, w, `{"in":true,"out":true,"err":true,"direct":true}`, "caller caller caller "},
		{"--rm -i", null, null, null, `{"in":true,"out":true,"err":true,"direct":true}`, "null null null "},
		{"--rm -i", zero, file, named, `{"in":true,"out":true,"err":true,"direct":true}`, "ours ours ours "},
		{"-i", r, w, w, `{"in":true,"out":true,"err":true}`, "ours ours ours "},
		{"", r, w, w, `{"out":true,"err":true}`, "ours ours "},
		{"--rm -t", r, w, w, `{"out":true}`, "ours "},
	} {
		callers := inodes(test.in, test.out, test.err)
		cmd := h.command(append(append([]string{"run"}, strings.Fields(test.args)...), "img")...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = test.in, test.out, test.err
		if code := finish(t, cmd).code; code != 0 {
			t.Fatalf("%s: status %d", test.args, code)
		}
		got := <-requests
		kinds := got.kinds
		for ino := range callers {
			kinds = strings.ReplaceAll(kinds, fmt.Sprintf("pipe:%d ", ino), "caller ")
		}
		for strings.Contains(kinds, "pipe:") {
			before, rest, _ := strings.Cut(kinds, "pipe:")
			_, after, _ := strings.Cut(rest, " ")
			kinds = before + "ours " + after
		}
		if g := asJSON(t, got.run.Stdio); g != test.want || kinds != test.kinds {
			t.Errorf("%q: %s %q, want %s %q", test.args, g, kinds, test.want, test.kinds)
		}
	}
}

func fileKind(f *os.File) string {
	var st unix.Stat_t
	if unix.Fstat(fdOf(f), &st) != nil {
		return "? "
	}
	switch {
	case st.Mode&unix.S_IFMT == unix.S_IFIFO:
		return fmt.Sprintf("pipe:%d ", st.Ino)
	case st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == unix.Mkdev(1, 3):
		return "null "
	}
	return "foreign "
}

func inodes(files ...*os.File) map[uint64]bool {
	m := map[uint64]bool{}
	for _, f := range files {
		var st unix.Stat_t
		var fs unix.Statfs_t
		if unix.Fstat(fdOf(f), &st) == nil && unix.Fstatfs(fdOf(f), &fs) == nil && fs.Type == unix.PIPEFS_MAGIC {
			m[st.Ino] = true
		}
	}
	return m
}

// TestBinarySafe sends bytes through a program and back, by all three ways:
// relayed, handed over, and exec.
func TestBinarySafe(t *testing.T) {
	h := newHome(t)
	h.fake(host(t))
	data := make([]byte, 8<<20)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(data)
	for _, args := range [][]string{{"run", "-i", "img", "cat"}, {"run", "--rm", "-i", "img", "cat"}, {"exec", "-i", "box", "cat"}} {
		for _, relayed := range []bool{false, true} {
			cmd := h.command(args...)
			cmd.Stdin = bytes.NewReader(data)
			out := &bytes.Buffer{}
			cmd.Stdout = out
			var file *os.File
			if relayed {
				var err error
				if file, err = os.Create(filepath.Join(t.TempDir(), "out")); err != nil {
					t.Fatal(err)
				}
				cmd.Stdout = file
			}
			if r := finish(t, cmd); r.code != 0 || r.err != "" {
				t.Fatalf("%q: %+v", args, r)
			}
			got := out.Bytes()
			if relayed {
				var err error
				if got, err = os.ReadFile(file.Name()); err != nil {
					t.Fatal(err)
				}
				file.Close()
			}
			if sha256.Sum256(got) != sha256.Sum256(data) {
				t.Errorf("%q, to a file %t: %d bytes in, %d other bytes out", args, relayed, len(data), len(got))
			}
		}
	}
}

// TestHalfClose: the end of standard input reaches the program, which answers
// after it.
func TestHalfClose(t *testing.T) {
	h := newHome(t)
	h.fake(host(t))
	for _, rm := range []string{"--rm", "--rm=false"} {
		cmd := h.command("run", rm, "-i", "img", "sh", "-c", "cat >/dev/null; echo after")
		cmd.Stdin = strings.NewReader("before\n")
		finish(t, cmd).want(t, result{out: "after\n"})
	}
}

// TestOpenStdin: a standard input that never ends keeps nobody waiting.
func TestOpenStdin(t *testing.T) {
	h := newHome(t)
	h.fake(host(t))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	cmd := h.command("run", "-i", "img", "sh", "-c", "exit 4")
	cmd.Stdin = r
	finish(t, cmd).want(t, result{code: 4})
}

// TestFailureLeavesStdin: a run that did not start has read nothing.
func TestFailureLeavesStdin(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		p.CloseFiles()
		return &api.Error{Op: "find image", Path: "img", Msg: "not in the store", Code: 125}
	})
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	io.WriteString(w, "for somebody else")
	w.Close()
	cmd := h.command("run", "-i", "img")
	cmd.Stdin = r
	finish(t, cmd).want(t, result{err: "sbx: find image img: not in the store\n", code: 125})
	if rest, err := io.ReadAll(r); string(rest) != "for somebody else" || err != nil {
		t.Errorf("left %q, %v", rest, err)
	}
}

// TestReaderLeaves: when our reader goes, the program gets SIGPIPE, as without us.
func TestReaderLeaves(t *testing.T) {
	h := newHome(t)
	h.fake(host(t))
	for _, rm := range []string{"--rm", "--rm=false"} {
		cmd := h.command("run", rm, "img", "yes")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4)
		if _, err := io.ReadFull(out, buf); err != nil {
			t.Fatal(err)
		}
		out.Close()
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 128+int(unix.SIGPIPE) {
			t.Errorf("%s: %v, want status 141", rm, err)
		}
	}
}

// TestFullDisk: output that could not be written is not success.
func TestFullDisk(t *testing.T) {
	h := newHome(t)
	h.fake(host(t))
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	cmd := h.command("run", "img", "echo", "lost")
	cmd.Stdout = full
	finish(t, cmd).want(t, result{err: "sbx: write the program's output: no space left on device\n", code: 125})
}

// TestOneOrder: standard output and error to one file keep their order.
func TestOneOrder(t *testing.T) {
	h := newHome(t)
	h.fake(host(t))
	file, err := os.Create(filepath.Join(h.dir, "both"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd := h.command("run", "--rm", "img", "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo o$i; echo e$i >&2; done")
	cmd.Stdout, cmd.Stderr = file, file
	finish(t, cmd).want(t, result{})
	got, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	if want := "o1\ne1\no2\ne2\no3\ne3\no4\ne4\no5\ne5\no6\ne6\no7\ne7\no8\ne8\n"; string(got) != want {
		t.Errorf("got %q", got)
	}
}

// TestSignals: each signal to us is one to the program; with --sig-proxy=false it
// is ours.
func TestSignals(t *testing.T) {
	h := newHome(t)
	armed := make(chan struct{}, 1)
	h.fake(hostArmed(t, armed))
	const script = `trap 'echo hup; exit 7' HUP; trap 'echo usr1; exit 8' USR1; trap 'echo int; exit 9' INT
trap 'echo rt; exit 10' 40; echo ready; while :; do read x || sleep 0.01; done </dev/null`
	for _, test := range []struct {
		flag string
		sig  syscall.Signal
		out  string
		code int
	}{
		{"--sig-proxy", unix.SIGHUP, "hup\n", 7},
		{"--sig-proxy", unix.SIGUSR1, "usr1\n", 8},
		{"--sig-proxy", unix.SIGINT, "int\n", 9},
		{"--sig-proxy", 40, "rt\n", 10},
		{"--sig-proxy", unix.SIGTERM, "", 128 + 15},
		{"--sig-proxy=false", unix.SIGTERM, "", -1},
	} {
		cmd := h.command("run", test.flag, "img", "bash", "-c", script)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
			t.Fatal(err)
		}
		<-armed
		if err := cmd.Process.Signal(test.sig); err != nil {
			t.Fatal(err)
		}
		rest, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		cmd.Wait() // its error is the status that is checked
		if code := cmd.ProcessState.ExitCode(); string(rest) != test.out || code != test.code {
			t.Errorf("%s %v: %q, status %d; want %q, %d", test.flag, test.sig, rest, code, test.out, test.code)
		}
	}
}

// TestIgnoredSignal: what nohup ignores stays ignored.
func TestIgnoredSignal(t *testing.T) {
	h := newHome(t)
	h.fake(host(t))
	inner := h.command()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `trap "" HUP; exec "$@"`, "sh", inner.Path,
		"run", "-i", "img", "sh", "-c", "trap 'echo hup' HUP; echo ready; read x; echo end")
	cmd.Env, cmd.Dir = inner.Env, inner.Dir
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
	in.Close()
	rest, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil || string(rest) != "end\n" {
		t.Errorf("%v, %q", err, rest)
	}
}

// TestDetached: -d prints the id and leaves; --cidfile holds it.
func TestDetached(t *testing.T) {
	h := newHome(t)
	requests := make(chan api.Run, 1)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		var r api.Run
		if err := p.Decode(&r); err != nil {
			return err
		}
		requests <- r
		if len(p.Files) > 0 {
			return fmt.Errorf("%d files came along", len(p.Files))
		}
		return conn.Send(api.KindStarted, api.Started{ID: "abc"})
	})
	h.sbx("run", "-d", "-it", "--cidfile", "cid", "img").want(t, result{out: "abc\n"})
	if got := <-requests; !got.Detach || !got.Spec.Process.TTY || !got.Spec.Process.Stdin {
		t.Errorf("asked for %+v", got)
	}
	if id, err := os.ReadFile(filepath.Join(h.dir, "cid")); string(id) != "abc" || err != nil {
		t.Errorf("cidfile %q, %v", id, err)
	}
}

// TestDeaths: whoever dies in the middle, the command ends and says who it was.
func TestDeaths(t *testing.T) {
	h := newHome(t)
	var deaths atomic.Int32
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		defer p.CloseFiles()
		if deaths.Add(1) == 2 {
			if err := conn.Send(api.KindStarted, api.Started{ID: "x"}); err != nil {
				return err
			}
		}
		return conn.Close()
	})
	h.sbx("run", "--cidfile", "cid", "img").want(t, result{code: 125,
		err: "sbx: wait for the answer: the supervisor died before it answered: see " + h.data + "/sbxd.log\n"})
	if _, err := os.Stat(filepath.Join(h.dir, "cid")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cidfile of a run that failed: %v", err)
	}
	h.sbx("run", "img").want(t, result{code: 125,
		err: "sbx: wait for the program: its monitor died, so the exit status is not known: 'sbx ps -a' shows what is left\n"})
	h.sbx("ps").want(t, result{code: 1,
		err: "sbx: wait for the answer: the supervisor died before it answered: see " + h.data + "/sbxd.log\n"})
}

// TestUnreadPacket: a monitor that ends before it has read all that we sent does
// not take the exit status with it.
func TestUnreadPacket(t *testing.T) {
	ours, theirs, err := api.Pair("test")
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	if err := errors.Join(ours.Send(api.KindSignal, api.Signal{Num: 2}),
		theirs.Send(api.KindExited, api.Done{Code: 3}), theirs.Close()); err != nil {
		t.Fatal(err)
	}
	p, err := ours.Recv()
	if err != nil || p.Kind != api.KindExited {
		t.Fatalf("%+v, %v", p, err)
	}
	if _, err := ours.Recv(); !errors.Is(err, io.EOF) {
		t.Errorf("then %v", err)
	}
}
