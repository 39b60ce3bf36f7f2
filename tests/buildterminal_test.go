package tests

import (
	"strings"
	"testing"
)

// TestBuildOnTerminal: a live list of steps with the last lines of the one that goes on,
// and the whole list when the build is over; nothing that a program writes drives the
// terminal.
func TestBuildOnTerminal(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	dir := e.contextOf("context", "Dockerfile", "FROM "+image+`
RUN printf '\033[31mred\033[0m \033]0;owned\007\033[2Jgone 漢字\n'; for i in 1 2 3 4 5 6 7 8; do echo line $i; done; mkdir /run/x; touch /tmp/on; sleep 2; echo late
RUN echo a step with a title that is much too long for a terminal that has only forty columns
`)
	for cols, rows := range map[string]string{"80": "24", "40": "10"} {
		p := e.pane(e.Instance.Sbx()+" build --no-cache -t made "+dir, cols, rows)
		live := p.shows("# line 8")
		if !strings.Contains(live, "[+] Building ") || !strings.Contains(live, " => [2/3] RUN printf") {
			t.Errorf("%s columns, while it goes on:\n%s", cols, live)
		}
		p.shows("status=0")
		all := p.all()
		for _, want := range []string{" FINISHED\n", " => [2/3] RUN printf", " => [3/3] RUN echo a step", "\nsha256:"} {
			if strings.Count(all, want) != 1 {
				t.Errorf("%s columns, at the end %q is there %d times:\n%s", cols, want, strings.Count(all, want), all)
			}
		}
		if strings.Contains(all, "line 8") || strings.Contains(all, "=> #") {
			t.Errorf("%s columns: output is left:\n%s", cols, all)
		}
	}
}

// TestBuildFailsOnTerminal: the last lines and the place in the Dockerfile stay.
func TestBuildFailsOnTerminal(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	dir := e.contextOf("context", "Dockerfile", "FROM "+e.Busybox()+`
RUN printf '\033[31mbroken\033[0m\n'; exit 3
`)
	p := e.pane(e.Instance.Sbx()+" build "+dir, "80", "24")
	p.shows("status=1")
	all := p.all()
	for _, want := range []string{" => ERROR [2/2] RUN printf", " broken\n------\n", ">>> RUN printf", "Dockerfile:2", "exit code: 3", "sbx run -it "} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q on the screen:\n%s", want, all)
		}
	}
}

// TestBuildInterruptedOnTerminal: ^C leaves the list as it was, and a terminal that works.
func TestBuildInterruptedOnTerminal(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	dir := e.contextOf("context", "Dockerfile", "FROM "+e.Busybox()+"\nRUN echo goes on; sleep 98765\n")
	p := e.pane("trap : INT; "+e.Instance.Sbx()+" build "+dir, "60", "20")
	p.shows("=> => # goes on")
	p.tmux("send-keys", "C-c")
	screen := p.shows("status=130")
	if !strings.Contains(screen, " => [2/2] RUN echo goes on; sleep") || strings.Count(screen, "[+] Building") != 1 {
		t.Errorf("the screen shows\n%s", screen)
	}
	p.tmux("send-keys", "typed", "Enter")
	p.shows("typed\ntyped\n") // by the terminal, and by cat
	e.Eventually("the end of the step", func() bool { return e.OK("ps", "-aq") == "" && !strings.Contains(e.processes(), "98765") })
}

// processes are the arguments of all processes of the instance.
func (e *Env) processes() string {
	e.t.Helper()
	all := ""
	for _, p := range e.Processes() {
		all += strings.Join(p.Args, " ") + "\n"
	}
	return all
}
