package confined

import (
	"errors"
	"io"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"sbx/api"
	"sbx/internal/sys"
)

// terminal is a pseudo-terminal of the host's for the program, in the place of the
// caller's.
type terminal struct {
	master *os.File
	saved  *term.State // of the caller's terminal, while it is in raw mode
	sizes  chan os.Signal
}

// newTerminal gives the program's end too.
func newTerminal(size api.Size) (*terminal, *os.File, error) {
	const path = "/dev/ptmx"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	t := &terminal{master: os.NewFile(uintptr(fd), path), sizes: make(chan os.Signal, 1)}
	tty, err := sys.OpenPty(fd)
	if err == nil && size.Rows != 0 {
		err = sys.SetWinsize(tty, size.Rows, size.Cols)
	}
	if err != nil {
		t.master.Close()
		return nil, nil, err
	}
	return t, os.NewFile(uintptr(tty), "tty"), nil
}

// relay hands every key to the program, if it gets input, and follows the size of the
// caller's terminal. In the background this stops us, SIGTTOU, until the user brings us
// to the foreground.
func (t *terminal) relay(input bool) error {
	signal.Notify(t.sizes, unix.SIGWINCH)
	go func() {
		for range t.sizes {
			for _, f := range []*os.File{os.Stdout, os.Stdin} {
				if ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
					// A terminal whose program has just ended takes no size.
					_ = unix.IoctlSetWinsize(int(t.master.Fd()), unix.TIOCSWINSZ, ws)
					break
				}
			}
		}
	}()
	if !input {
		return nil
	}
	if term.IsTerminal(int(os.Stdin.Fd())) {
		saved, err := term.MakeRaw(int(os.Stdin.Fd()))
		if err != nil {
			return api.Wrap("set the terminal to raw mode", "", err)
		}
		t.saved = saved
	}
	// Nobody waits for a key that may never be pressed.
	go func() { _, _ = io.Copy(t.master, os.Stdin) }()
	return nil
}

// copy writes what the program does until nobody has its terminal any more, which reads
// as EIO.
func (t *terminal) copy(to io.Writer) error {
	_, err := io.Copy(to, t.master)
	if errors.Is(err, unix.EIO) {
		return nil
	}
	return err
}

// restore gives the caller's terminal back as it was.
func (t *terminal) restore() {
	if t == nil {
		return
	}
	signal.Stop(t.sizes)
	if t.saved != nil {
		// A terminal that is gone needs no restoring.
		_ = term.Restore(int(os.Stdin.Fd()), t.saved)
		t.saved = nil
	}
}
