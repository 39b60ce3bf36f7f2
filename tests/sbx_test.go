package tests

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"sbx/tests/instance"
)

// patience bounds what must happen but takes an unknown time. No test measures
// by it: it only turns a hang into a failure.
var patience = instance.Patience

// Env is an instance of sbx that belongs to one test.
type Env struct {
	*instance.Instance
	t         testing.TB
	witnesses string // directory of podman and skopeo, once they are asked
}

// Result of a command that has ended.
type Result struct {
	Out, Err string
	Code     int // 128+n when the command line itself was killed by signal n
}

// Sbx gives the test an sbx of its own. At the end of the test everything of it
// must be gone: what is left fails the test.
func Sbx(t testing.TB) *Env {
	t.Helper()
	if os.Getuid() == 0 {
		t.Fatal("run as an unprivileged user: make test")
	}
	Need(t, "subids")
	return lone(t)
}

// lone is Sbx for tests that no other ids than the user's matter to.
func lone(t testing.TB) *Env {
	t.Helper()
	Need(t, "userns")
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	i, err := instance.New(bin)
	if err != nil {
		t.Fatal(err)
	}
	// What is not on loopback is not reached: a name that should be local is not
	// asked for in the world.
	i.Extra = []string{"HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1", "XDG_RUNTIME_DIR=" + i.Home + "/runtime"}
	if err := os.Mkdir(i.Home+"/runtime", 0o700); err != nil {
		t.Fatal(err)
	}
	e := &Env{Instance: i, t: t}
	t.Cleanup(func() {
		for _, leak := range i.Leaks() {
			t.Errorf("leak: %s", leak)
		}
		if t.Failed() {
			e.showLogs()
		}
		if err := i.Remove(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func (e *Env) showLogs() {
	for _, name := range []string{"sbxd.log", "keeper.log"} {
		if log, err := os.ReadFile(e.Data + "/" + name); err == nil && len(log) > 0 {
			e.t.Logf("%s:\n%s", name, tail(log, 4<<10))
		}
	}
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// Run runs sbx without input and waits.
func (e *Env) Run(args ...string) Result {
	e.t.Helper()
	return e.RunIn("", args...)
}

// RunIn is Run with that text on a pipe as standard input.
func (e *Env) RunIn(input string, args ...string) Result {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	c := e.Command(ctx, args...)
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(input), &out, &errs
	return e.result(c.Run(), ctx, c, &out, &errs)
}

func (e *Env) result(err error, ctx context.Context, c *exec.Cmd, out, errs *bytes.Buffer) Result {
	e.t.Helper()
	r := Result{Out: out.String(), Err: errs.String()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		e.t.Fatalf("sbx %q: no end in sight\nstdout: %s\nstderr: %s", c.Args[1:], tail(out.Bytes(), 2000), tail(errs.Bytes(), 2000))
	case errors.As(err, &exit):
		status := exit.Sys().(syscall.WaitStatus)
		if r.Code = status.ExitStatus(); status.Signaled() {
			r.Code = 128 + int(status.Signal())
		}
	case err != nil:
		e.t.Fatalf("sbx %q: %v", c.Args[1:], err)
	}
	return r
}

// OK runs sbx, which must succeed and say nothing on standard error, and gives its
// output without the last newline.
func (e *Env) OK(args ...string) string {
	e.t.Helper()
	r := e.Run(args...)
	if r.Code != 0 || r.Err != "" {
		e.t.Fatalf("sbx %q: status %d, stderr %q, stdout %q", args, r.Code, r.Err, r.Out)
	}
	return strings.TrimSuffix(r.Out, "\n")
}

// Fails runs sbx, which must end with that status and one line on standard error
// that holds the words; nothing may be left on standard output.
func (e *Env) Fails(code int, words string, args ...string) {
	e.t.Helper()
	r := e.Run(args...)
	if r.Code != code || !strings.Contains(r.Err, words) || r.Out != "" {
		e.t.Errorf("sbx %q: status %d, stderr %q, stdout %q; want status %d and %q", args, r.Code, r.Err, r.Out, code, words)
	}
}

// Is runs sbx, which must print exactly that, a last newline aside.
func (e *Env) Is(want string, args ...string) {
	e.t.Helper()
	if got := e.OK(args...); got != want {
		e.t.Errorf("sbx %q printed %q, want %q", args, got, want)
	}
}

// Busybox imports the small root file system and gives its image name.
func (e *Env) Busybox() string {
	e.t.Helper()
	Need(e.t, "busybox", "overlay")
	e.OK("import", os.Getenv("SBX_TEST_BUSYBOX"), "busybox")
	return "busybox"
}

// export writes the files of a sandbox to a file. Where it takes a while it says how far
// it is.
func (e *Env) export(file, sandbox string) {
	e.t.Helper()
	if r := e.Run("export", "-o", file, sandbox); r.Code != 0 || r.Out != "" {
		e.t.Fatalf("sbx export %s: status %d, stderr %q, stdout %q", sandbox, r.Code, r.Err, r.Out)
	}
}

// Eventually waits until what must happen in the background has happened.
func (e *Env) Eventually(what string, happened func() bool) {
	e.t.Helper()
	for end := time.Now().Add(patience); !happened(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			e.t.Fatalf("never: %s", what)
		}
	}
}

// Proc is an sbx that runs in the background.
type Proc struct {
	In   io.WriteCloser
	cmd  *exec.Cmd
	ctx  context.Context
	out  lockedBuffer
	errs lockedBuffer
	e    *Env
}

// Start starts sbx with pipes. The test has to Wait for it.
func (e *Env) Start(args ...string) *Proc {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	e.t.Cleanup(cancel)
	p := &Proc{cmd: e.Command(ctx, args...), ctx: ctx, e: e}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errs
	var err error
	if p.In, err = p.cmd.StdinPipe(); err != nil {
		e.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	return p
}

// Signal sends a signal to the command line.
func (p *Proc) Signal(s syscall.Signal) {
	p.e.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.e.t.Fatalf("signal %v: %v", s, err)
	}
}

// Expect waits until the words are on standard output.
func (p *Proc) Expect(words string) {
	p.e.t.Helper()
	if p.out.wait(0, words, patience) < 0 {
		p.e.t.Fatalf("sbx %q: no %q in stdout %q, stderr %q", p.cmd.Args[1:], words, p.out.String(), p.errs.String())
	}
}

// Wait waits for the end.
func (p *Proc) Wait() Result {
	p.e.t.Helper()
	err := p.cmd.Wait()
	out, errs := bytes.NewBufferString(p.out.String()), bytes.NewBufferString(p.errs.String())
	return p.e.result(err, p.ctx, p.cmd, out, errs)
}
