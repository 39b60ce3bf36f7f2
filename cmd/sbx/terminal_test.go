package main

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// screen is a real terminal with the command line on it.
type screen struct {
	t      *testing.T
	master *os.File
	tty    *os.File // kept open, so that the modes can be read at the end
	cmd    *exec.Cmd
	seen   string
}

func (h home) screen(args ...string) *screen {
	h.t.Helper()
	return h.screenWith(api.Size{Rows: 33, Cols: 77}, nil, args...)
}

// screenWith is a screen of another size, with more of an environment.
func (h home) screenWith(size api.Size, env []string, args ...string) *screen {
	h.t.Helper()
	master, tty, err := pty(size)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { master.Close(); tty.Close() })
	s := &screen{t: h.t, master: master, tty: tty, cmd: h.command(args...)}
	s.cmd.Env = append(s.cmd.Env, env...)
	onTTY(s.cmd, tty)
	if err := s.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	return s
}

// expect reads until text was shown.
func (s *screen) expect(text string) {
	s.t.Helper()
	s.until(text)
}

// until is expect that gives all that was shown up to the text's end.
func (s *screen) until(text string) string {
	s.t.Helper()
	buf := make([]byte, 4096)
	if err := s.master.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		s.t.Fatal(err)
	}
	for !strings.Contains(s.seen, text) {
		n, err := s.master.Read(buf)
		s.seen += string(buf[:n])
		if err != nil {
			s.t.Fatalf("%v; waiting for %q, seen %q", err, text, s.seen)
		}
	}
	before, after, _ := strings.Cut(s.seen, text)
	s.seen = after
	return before + text
}

func (s *screen) keys(text string) {
	s.t.Helper()
	if _, err := s.master.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// isRaw reads the mode that the terminal is in.
func (s *screen) isRaw() bool {
	s.t.Helper()
	mode, err := unix.IoctlGetTermios(fdOf(s.tty), unix.TCGETS)
	if err != nil {
		s.t.Fatal(err)
	}
	return mode.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) == 0
}

// ends waits for the command, which must leave the terminal as it was.
func (s *screen) ends(code int) {
	s.t.Helper()
	s.cmd.Wait() // its error is the status that is checked
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("status %d, want %d; seen %q", got, code, s.seen)
	}
	if s.isRaw() {
		s.t.Error("the terminal was left in raw mode")
	}
}

// terminals are the two ways to a terminal in a sandbox.
var terminals = map[string][]string{
	"run":  {"run", "--rm", "-it", "img"},
	"exec": {"exec", "-it", "box"},
}

func TestTerminal(t *testing.T) {
	for name, args := range terminals {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			h.fake(host(t))
			s := h.screen(append(args, "bash", "-c", `trap 'echo interrupted' INT
tty >/dev/null && stty size
while read -r x; do
	echo "got $x"
	case $x in
	size) until [ "$(stty size)" = "20 40" ]; do sleep 0.01; done; echo resized ;;
	end) exit 5 ;;
	esac
done`)...)
			s.expect("33 77")
			if !s.isRaw() {
				t.Error("the terminal is not in raw mode")
			}
			s.keys("hello\r")
			s.expect("got hello")
			s.keys("\x03")
			s.keys("\r") // bash runs traps between commands
			s.expect("interrupted")
			if err := sys.SetWinsize(fdOf(s.master), 20, 40); err != nil {
				t.Fatal(err)
			}
			s.keys("size\r")
			s.expect("resized")
			s.keys("\x10x\r")
			s.expect("got \x10x")
			s.keys("end\r")
			s.expect("got end")
			s.ends(5)
		})
	}
}

func TestTerminalDetach(t *testing.T) {
	for name, args := range terminals {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			h.fake(host(t))
			s := h.screen(append(args, "sh", "-c", "echo ready; cat")...)
			s.expect("ready")
			s.keys("\x10\x11")
			s.ends(0)
			h2 := newHome(t)
			h2.fake(host(t))
			words := append([]string{args[0], "--detach-keys", "q,q"}, args[1:]...)
			s = h2.screen(append(words, "sh", "-c", "echo ready; cat")...)
			s.expect("ready")
			s.keys("\x10zq\r")
			s.expect("\x10zq")
			s.keys("qq")
			s.ends(0)
		})
	}
}

// TestTerminalAttach: attach learns from inspect that the sandbox has a terminal,
// and a signal ends it alone.
func TestTerminalAttach(t *testing.T) {
	h := newHome(t)
	h.fake(host(t))
	s := h.screen("attach", "box")
	s.keys("echoed\r")
	s.expect("echoed")
	s.expect("echoed")
	if err := s.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.cmd.Wait() // its error is the status that is checked
	if ws := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != unix.SIGTERM {
		t.Errorf("ended with %v", s.cmd.ProcessState)
	}
	if s.isRaw() {
		t.Error("the terminal was left in raw mode")
	}
}

// TestTerminalSignal: with -t too, a signal to us goes to the program.
func TestTerminalSignal(t *testing.T) {
	h := newHome(t)
	h.fake(host(t))
	s := h.screen("run", "-it", "img", "bash", "-c", `trap 'echo terminated; exit 6' TERM; echo ready; while :; do sleep 0.01; done`)
	s.expect("ready")
	if err := s.cmd.Process.Signal(unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.expect("terminated")
	s.ends(6)
}

// TestTerminalFault: a run that fails never touches the terminal's mode.
func TestTerminalFault(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		p.CloseFiles()
		return &api.Error{Op: "find image", Path: "img", Msg: "not in the store"}
	})
	s := h.screen("run", "-it", "img")
	s.expect("sbx: find image img: not in the store\r\n")
	s.ends(125)
}

// TestThreat27NoTerminalHandedIn: without -t the program gets pipes, never the
// caller's terminal.
func TestThreat27NoTerminalHandedIn(t *testing.T) {
	for _, args := range [][]string{{"run", "--rm", "-i", "img"}, {"run", "-i", "img"}, {"exec", "-i", "box"}} {
		h := newHome(t)
		h.fake(host(t))
		s := h.screen(append(args, "sh", "-c", "for i in 0 1 2; do [ -t $i ] && echo terminal $i; done; read x; echo got $x")...)
		s.keys("line\n")
		s.expect("got line")
		if strings.Contains(s.seen, "terminal ") {
			t.Errorf("%q: %q", args, s.seen)
		}
		s.ends(0)
	}
}
