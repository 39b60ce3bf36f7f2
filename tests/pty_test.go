package tests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Terminal is a program on a pseudo-terminal that is its controlling one.
type Terminal struct {
	t      testing.TB
	master *os.File
	slave  *os.File // kept open: its settings are looked at, and the master gets no EIO
	cmd    *exec.Cmd
	out    lockedBuffer
	seen   int // how much of out Expect has passed
	done   chan error
}

// Terminal starts sbx on a terminal of 80 by 24.
func (e *Env) Terminal(args ...string) *Terminal {
	e.t.Helper()
	Need(e.t, "pty")
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	e.t.Cleanup(cancel)
	return onTerminal(e.t, e.Command(ctx, args...))
}

func onTerminal(t testing.TB, c *exec.Cmd) *Terminal {
	t.Helper()
	master, slave, err := openPTY()
	if err != nil {
		t.Fatal(err)
	}
	p := &Terminal{t: t, master: master, slave: slave, cmd: c, done: make(chan error, 1)}
	p.Resize(24, 80)
	c.Stdin, c.Stdout, c.Stderr = slave, slave, slave
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 32<<10)
		for {
			n, err := master.Read(buf)
			_, _ = p.out.Write(buf[:n]) // a buffer in memory takes everything
			if err != nil {
				return
			}
		}
	}()
	go func() { p.done <- c.Wait() }()
	t.Cleanup(func() {
		_ = c.Process.Kill() // it has ended in a test that passes
		slave.Close()
		master.Close()
	})
	return p
}

// openPTY makes a pair as pts(4) says.
func openPTY() (master, slave *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, fmt.Errorf("TIOCSPTLCK: %w", err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, fmt.Errorf("TIOCGPTN: %w", err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fd), "/dev/ptmx"), slave, nil
}

// Type types that text.
func (p *Terminal) Type(text string) {
	p.t.Helper()
	if _, err := p.master.WriteString(text); err != nil {
		p.t.Fatalf("type %q: %v", text, err)
	}
}

// Expect waits until the words appear after what the last Expect saw.
func (p *Terminal) Expect(words string) {
	p.t.Helper()
	end := p.out.wait(p.seen, words, patience)
	if end < 0 {
		p.t.Fatalf("no %q on the terminal: %q", words, p.out.String()[p.seen:])
	}
	p.seen = end
}

// Resize sets the size; the foreground process group gets SIGWINCH.
func (p *Terminal) Resize(rows, cols uint16) {
	p.t.Helper()
	if err := unix.IoctlSetWinsize(int(p.slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}); err != nil {
		p.t.Fatalf("TIOCSWINSZ: %v", err)
	}
}

// Raw says whether the terminal is in raw mode: no echo, no line editing.
func (p *Terminal) Raw() bool {
	p.t.Helper()
	tio, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
	if err != nil {
		p.t.Fatalf("TCGETS: %v", err)
	}
	return tio.Lflag&(unix.ICANON|unix.ECHO) == 0
}

// Wait waits for the end and gives the exit status, 128+n when killed.
func (p *Terminal) Wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("no end in sight; on the terminal: %q", p.out.String())
	}
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
