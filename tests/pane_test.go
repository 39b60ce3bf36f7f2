package tests

import (
	"os/exec"
	"strings"
)

// pane is a real terminal: one of tmux.
type pane struct {
	*Env
	socket string
}

// pane starts a shell line on a terminal of that size.
func (e *Env) pane(line, cols, rows string) *pane {
	e.t.Helper()
	Need(e.t, "tmux", "pty")
	p := &pane{e, e.Home + "/tmux" + cols}
	p.tmux("new-session", "-d", "-x", cols, "-y", rows, line+"; echo status=$?; cat")
	e.t.Cleanup(func() { p.tmux("kill-server") })
	return p
}

func (p *pane) tmux(args ...string) string {
	p.t.Helper()
	c := exec.Command("tmux", append([]string{"-S", p.socket, "-f", "/dev/null"}, args...)...)
	c.Env = p.Env.Env()
	out, err := c.CombinedOutput()
	if err != nil {
		p.t.Fatalf("tmux %q: %v: %s", args, err, out)
	}
	return string(out)
}

// shows waits until the words are on the screen, and gives all of it.
func (p *pane) shows(words string) string {
	p.t.Helper()
	screen := ""
	p.Eventually(words+" on the screen", func() bool {
		screen = p.tmux("capture-pane", "-p")
		return strings.Contains(screen, words)
	})
	return screen
}

// all is what the screen shows and what has scrolled out of it.
func (p *pane) all() string {
	p.t.Helper()
	return p.tmux("capture-pane", "-p", "-S", "-")
}
