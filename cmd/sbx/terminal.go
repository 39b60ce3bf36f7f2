package main

import (
	"os"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"sbx/api"
)

// terminal is the caller's, in raw mode while a program has it. A nil terminal
// is none.
type terminal struct {
	fd    int
	mu    sync.Mutex
	saved *term.State
}

func isTerminal(f *os.File) bool { return term.IsTerminal(fdOf(f)) }

// raw hands every key to the program. In the background this stops us, SIGTTOU,
// until the user brings us to the foreground.
func (t *terminal) raw() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	saved, err := term.MakeRaw(t.fd)
	if err != nil {
		return api.Wrap("set the terminal to raw mode", "", err)
	}
	if t.saved == nil {
		t.saved = saved
	}
	return nil
}

// again sets raw mode after a stop: the shell has put back its own.
func (t *terminal) again() {
	if t == nil {
		return
	}
	t.mu.Lock()
	held := t.saved != nil
	t.mu.Unlock()
	if held && inForeground(t.fd) {
		// If it fails the user types in cooked mode: a nuisance, not an error.
		_ = t.raw()
	}
}

// restore gives the terminal back as it was, any number of times.
func (t *terminal) restore() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	// In the background the terminal is the shell's, which has its own modes.
	if t.saved != nil && inForeground(t.fd) {
		// A terminal that is gone needs no restoring.
		_ = term.Restore(t.fd, t.saved)
	}
	t.saved = nil
}

// guard is deferred in goroutines: a crash must not leave a dead terminal.
func (t *terminal) guard() {
	if r := recover(); r != nil {
		t.restore()
		panic(r)
	}
}

func inForeground(fd int) bool {
	pgrp, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err == nil && pgrp == unix.Getpgrp()
}

// windowSize is that of the first of the caller's files that is a terminal.
func windowSize(s streams) api.Size {
	for _, f := range []*os.File{s.out, s.in, s.err} {
		if ws, err := unix.IoctlGetWinsize(fdOf(f), unix.TIOCGWINSZ); err == nil {
			return api.Size{Rows: ws.Row, Cols: ws.Col}
		}
	}
	return api.Size{}
}
