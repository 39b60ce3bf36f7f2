package tests

import (
	"strings"
	"testing"
)

func TestTerminalRun(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	p := e.Terminal("run", "--rm", "-it", "host", "sh", "-c", "tty; stty size; read line; echo got:$line; exit 3")
	p.Expect("/dev/pts/0")
	p.Expect("24 80")
	if !p.Raw() {
		t.Error("the caller's terminal is not in raw mode while the program runs")
	}
	p.Type("typed\r")
	p.Expect("typed\r\n") // echoed by the terminal inside
	p.Expect("got:typed")
	if code := p.Wait(); code != 3 {
		t.Errorf("status %d, want 3", code)
	}
	if p.Raw() {
		t.Error("the caller's terminal stays in raw mode")
	}
}

func TestTerminalKeys(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	p := e.Terminal("run", "--rm", "-it", "host", "bash", "--norc")
	p.Type("stty -echo; PS1=; echo re''ady\r")
	p.Expect("ready")
	// The shell that says so is in the foreground already, so the key finds it.
	p.Type("sh -c 'echo go''ing; exec sleep 1000'\r")
	p.Expect("going")
	p.Type("\x03")
	p.Type("echo st''atus=$?\r")
	p.Expect("status=130")
	p.Type("sh -c 'echo wa''iting; exec sleep 1000'\r")
	p.Expect("waiting")
	p.Type("\x1a") // Ctrl-Z stops the program inside, not sbx
	p.Expect("Stopped")
	p.Type("exec true\r")
	if code := p.Wait(); code != 0 {
		t.Errorf("status %d, want 0", code)
	}
}

func TestTerminalResize(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	for _, how := range []string{"run", "exec"} {
		t.Run(how, func(t *testing.T) {
			script := "trap 'stty size' WINCH; trap 'exit 3' INT; echo ready; while :; do sleep 0.05; done"
			args := []string{"run", "--rm", "-it", "host", "bash", "-c", script}
			if how == "exec" {
				id := e.OK("run", "-d", "host", "sleep", "1000")
				args = []string{"exec", "-it", id, "bash", "-c", script}
			}
			p := e.Terminal(args...)
			p.Expect("ready")
			p.Resize(50, 132)
			p.Expect("50 132")
			p.Type("\x03")
			if code := p.Wait(); code != 3 {
				t.Errorf("status %d after Ctrl-C, want 3", code)
			}
		})
	}
}

func TestTerminalDetach(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	p := e.Terminal("run", "-it", "--name", "shell", "host", "sh", "-c", "echo up; read a; echo got:$a; read b; exit 8")
	p.Expect("up")
	p.Type("\x10\x11") // Ctrl-P Ctrl-Q
	if code := p.Wait(); code != 0 {
		t.Errorf("detach: status %d, want 0", code)
	}
	if p.Raw() {
		t.Error("after detaching the terminal stays in raw mode")
	}
	e.Is("true", "inspect", "-f", "{{.State.Running}}", "shell")

	p = e.Terminal("attach", "--detach-keys", "ctrl-x", "shell")
	p.Type("one\r")
	p.Expect("got:one")
	p.Type("\x18")
	if code := p.Wait(); code != 0 {
		t.Errorf("detach by --detach-keys: status %d, want 0", code)
	}

	p = e.Terminal("attach", "shell")
	p.Type("two\r")
	if code := p.Wait(); code != 8 {
		t.Errorf("attach: status %d, want the program's 8", code)
	}
}

func TestTerminalExec(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	id := e.OK("run", "-d", "host", "sleep", "1000")
	p := e.Terminal("exec", "-it", id, "sh", "-c", "tty; stty size; read line; echo got:$line; exit 5")
	p.Expect("/dev/pts/")
	p.Expect("24 80")
	p.Type("x\r")
	p.Expect("got:x")
	if code := p.Wait(); code != 5 {
		t.Errorf("status %d, want 5", code)
	}
	if p.Raw() {
		t.Error("the terminal stays in raw mode")
	}
}

func TestTerminalNeedsOne(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	r := e.Run("run", "--rm", "-it", "host", "true")
	if r.Code == 0 || !strings.Contains(r.Err, "not a TTY") {
		t.Errorf("-it without a terminal: status %d, stderr %q", r.Code, r.Err)
	}
}

func TestThreat27CallersTerminalStaysOutside(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	p := e.Terminal("run", "--rm", "-i", "host", "sh", "-c", "for f in 0 1 2; do [ -t $f ] && echo tty$f; done; echo 'done'; readlink /proc/self/fd/1")
	p.Expect("done")
	p.Expect("pipe:")
	if p.Wait() != 0 {
		t.Error("the program failed")
	}
	if strings.Contains(p.out.String(), "tty") {
		t.Errorf("the program has the caller's terminal: %q", p.out.String())
	}
}

func TestTerminalExecKeys(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	id := e.OK("run", "-d", "host", "sleep", "1000")
	p := e.Terminal("exec", "-it", id, "sh", "-c", "trap 'echo interrupted; exit 7' INT; echo ready; while :; do sleep 0.02; done")
	p.Expect("ready")
	p.Type("\x03")
	p.Expect("interrupted")
	if code := p.Wait(); code != 7 {
		t.Errorf("status %d, want 7", code)
	}
	p = e.Terminal("exec", "-it", "--detach-keys", "ctrl-x", id, "sh", "-c", "echo up; sleep 1000")
	p.Expect("up")
	p.Type("\x18")
	p.Wait()
	if p.Raw() {
		t.Error("after detaching the terminal stays in raw mode")
	}
	e.Is("true", "inspect", "-f", "{{.State.Running}}", id)
}

func TestTerminalOfDetached(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-dit", "--name", "shell", "host", "sh", "-c", "read a; echo got:$a; stty size; read b; exit 6")
	p := e.Terminal("attach", "shell")
	p.Type("hello\r")
	p.Expect("got:hello")
	p.Expect("24 80")
	p.Type("x\r")
	if code := p.Wait(); code != 6 {
		t.Errorf("status %d, want 6", code)
	}
	if out := e.OK("logs", "shell"); !strings.Contains(out, "got:hello") {
		t.Errorf("the log is %q", out)
	}
}

func TestTerminalAttachTwice(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-dit", "--name", "shared", "host", "sh", "-c", "while read a; do echo got:$a; done; exit 2")
	one, two := e.Terminal("attach", "shared"), e.Terminal("attach", "shared")
	one.Type("first\r")
	one.Expect("got:first")
	two.Type("second\r")
	one.Expect("got:second")
	two.Expect("got:second")
	one.Type("\x04") // end of file
	for _, p := range []*Terminal{one, two} {
		if code := p.Wait(); code != 2 {
			t.Errorf("status %d, want 2", code)
		}
	}
}

func TestTerminalInTmux(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	p := e.pane(e.Instance.Sbx()+" run --rm -it host bash --norc", "90", "20")
	p.shows("$")
	p.tmux("send-keys", "stty size; echo $((6*7))", "Enter")
	p.shows("20 90")
	p.shows("42")
	p.tmux("send-keys", "sh -c 'echo go''ing; exec sleep 1000'", "Enter")
	p.shows("going\n")
	p.tmux("send-keys", "C-c")
	p.tmux("send-keys", "exit 5", "Enter")
	p.shows("status=5")
}
