package main

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
)

const loginReach = `"reach":{"path":"$PATH"}}`

// TestLoginStdin: a password comes from standard input without the end of its
// line, or from the flag that Docker warns of.
func TestLoginStdin(t *testing.T) {
	h := newHome(t)
	h.fake(echoRequests)
	for stdin, password := range map[string]string{"p w\n": "p w", "pw\r\n": "pw", "pw": "pw", "two\nlines\n": `two\nlines`} {
		cmd := h.command("login", "-u", "me", "--password-stdin", "r:5000")
		cmd.Stdin = strings.NewReader(stdin)
		finish(t, cmd).want(t, result{out: `login {"registry":"r:5000","user":"me","password":"` + password + `",` + loginReach + "\n"})
	}
	h.sbx("login", "-u", "me", "-p", "pw").want(t, result{
		out: `login {"user":"me","password":"pw",` + loginReach + "\n",
		err: "WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n"})
	cmd := h.command("login", "-u", "me", "--password-stdin")
	cmd.Stdin = strings.NewReader(strings.Repeat("x", maxPassword+1))
	finish(t, cmd).want(t, result{err: "sbx: login: --password-stdin: standard input is too long for a password\n", code: 125})
}

// hides waits until the terminal shows nothing of what is typed, or shows it again.
func (s *screen) hides(want bool) {
	s.t.Helper()
	for range 2000 {
		mode, err := unix.IoctlGetTermios(fdOf(s.tty), unix.TCGETS)
		if err != nil {
			s.t.Fatal(err)
		}
		if (mode.Lflag&unix.ECHO == 0) == want {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	s.t.Errorf("what is typed stays hidden: %t", !want)
}

// TestLoginPrompt: name and password are asked for at the terminal, which never
// shows the password.
func TestLoginPrompt(t *testing.T) {
	h := newHome(t)
	h.fake(echoRequests)
	s := h.screen("login", "r")
	s.expect("Username: ")
	s.keys("me\r")
	s.expect("me\r\nPassword: ")
	s.hides(true)
	s.keys("secret pw\r")
	s.expect("\r\n")
	if strings.Contains(s.seen, "secret") && !strings.Contains(s.seen, `"password":"secret pw"`) {
		t.Errorf("seen %q", s.seen)
	}
	s.expect(`login {"registry":"r","user":"me","password":"secret pw",` + `"reach":{"path":"$PATH"}}`)
	s.ends(0)
	s.hides(false)
}

// TestLoginInterrupted: neither the end nor a stop in mid-prompt leaves a terminal
// that hides what is typed.
func TestLoginInterrupted(t *testing.T) {
	h := newHome(t)
	h.fake(echoRequests)
	s := h.screen("login", "-u", "me", "r")
	s.expect("Password: ")
	s.hides(true)
	s.keys("half\x03")
	s.cmd.Wait() // its error is the status that is checked
	if ws := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != unix.SIGINT {
		t.Errorf("ended with %v", s.cmd.ProcessState)
	}
	s.hides(false)

	s = h.screen("login", "-u", "me", "r")
	s.expect("Password: ")
	s.hides(true)
	// Not ctrl-Z: the command is alone in its session, where that stops nobody.
	if err := s.cmd.Process.Signal(unix.SIGTSTP); err != nil {
		t.Fatal(err)
	}
	s.hides(false)
	stopped(t, s.cmd.Process)
	if err := s.cmd.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.expect("Password: ")
	s.hides(true)
	s.keys("pw\r")
	s.expect(`"password":"pw"`)
	s.ends(0)
}

// stopped waits until a process is.
func stopped(t *testing.T, p *os.Process) {
	t.Helper()
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, p.Pid, &info, unix.WSTOPPED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
}

// TestPullCreds: --creds without a password asks for it.
func TestPullCreds(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		var pull api.Pull
		if err := p.Decode(&pull); err != nil {
			return err
		}
		return conn.Send(api.KindDone, api.Done{Text: pull.Reach.User + " with " + pull.Reach.Password})
	})
	s := h.screen("pull", "--creds", "me", "img")
	s.expect("Password: ")
	s.keys("pw\r")
	s.expect("me with pw")
	s.ends(0)
}
