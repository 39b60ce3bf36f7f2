package main

import (
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// askLine asks for one line of text at the terminal.
func askLine(s streams, prompt string) (string, error) {
	if !isTerminal(s.in) {
		return "", noTerminal()
	}
	if _, err := s.err.WriteString(prompt); err != nil {
		return "", err
	}
	line, err := terminalLine(s.in)
	return strings.TrimSpace(line), err
}

// askSecret asks for a line at the terminal without showing it.
func askSecret(s streams, prompt string) (string, error) {
	if !isTerminal(s.in) {
		return "", noTerminal()
	}
	e := echo{fd: fdOf(s.in)}
	if err := e.off(); err != nil {
		return "", api.Wrap("stop the terminal's echo", "", err)
	}
	defer e.on()
	defer beforeDeath(e.on)()
	defer aroundStop(e.on, func() {
		// If it fails now the user sees the letters and the prompt above them.
		_ = e.off()
		s.err.WriteString(prompt)
	})()
	if _, err := s.err.WriteString(prompt); err != nil {
		return "", err
	}
	line, err := terminalLine(s.in)
	s.err.WriteString("\n") // the user's own was not shown
	return line, err
}

func noTerminal() error {
	return &api.Error{Op: "ask for the password", Msg: "standard input is not a terminal",
		Hint: "give --username and --password-stdin"}
}

// terminalLine reads a line without its end.
func terminalLine(f *os.File) (string, error) {
	var line []byte
	buf := make([]byte, 4096) // a terminal gives a line at a time, and none is longer
	for {
		n, err := readSome(fdOf(f), buf)
		if err != nil {
			return "", api.Wrap("read from the terminal", "", err)
		}
		line = append(line, buf[:n]...)
		if n == 0 || line[len(line)-1] == '\n' || len(line) > maxPassword {
			return strings.TrimRight(string(line), "\r\n"), nil
		}
	}
}

// echo is the terminal's showing what is typed.
type echo struct {
	fd    int
	mu    sync.Mutex
	saved *unix.Termios
}

// off hides what is typed; the terminal goes on to make signals of keys.
func (e *echo) off() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	mode, err := unix.IoctlGetTermios(e.fd, unix.TCGETS)
	if err != nil {
		return err
	}
	hidden := *mode
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(e.fd, unix.TCSETS, &hidden); err != nil {
		return err
	}
	e.saved = mode
	return nil
}

// on restores the mode, any number of times.
func (e *echo) on() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.saved != nil {
		// A terminal that is gone needs no restoring.
		_ = unix.IoctlSetTermios(e.fd, unix.TCSETS, e.saved)
		e.saved = nil
	}
}

// aroundStop calls before ahead of a stop by ctrl-Z, and after when we go on.
func aroundStop(before, after func()) (stop func()) {
	ch := make(chan os.Signal, 1)
	if signal.Ignored(unix.SIGTSTP) {
		return func() {}
	}
	signal.Notify(ch, unix.SIGTSTP)
	go func() {
		// The signal is for this very thread: it stops before it goes on, which it
		// need not if another one takes the signal.
		runtime.LockOSThread()
		for range ch {
			before()
			// A signal to ourselves cannot fail.
			_ = unix.Tgkill(unix.Getpid(), unix.Gettid(), unix.SIGSTOP)
			after()
		}
	}()
	return func() {
		signal.Stop(ch)
		close(ch)
	}
}

// confirm asks whether to go on, in Docker's words. The question may be answered
// through a pipe; the end of it means no.
func confirm(s streams, warning string) (bool, error) {
	if _, err := s.out.WriteString("WARNING! " + warning + "\nAre you sure you want to continue? [y/N] "); err != nil {
		return false, err
	}
	line, err := terminalLine(s.in)
	if err != nil {
		return false, err
	}
	line, _, _ = strings.Cut(line, "\n") // a pipe gives what it has
	switch strings.ToLower(strings.TrimSpace(line)) {
	case "y", "yes":
		return true, nil
	}
	return false, nil
}
