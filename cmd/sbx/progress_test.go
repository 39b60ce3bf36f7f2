package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// pulling is a supervisor that reports, each time it is told to, what comes from
// reports, and then answers.
func (h home) pulling(reports <-chan api.Progress) {
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		p.CloseFiles()
		for r := range reports {
			if err := conn.Send(api.KindProgress, r); err != nil {
				return err
			}
		}
		if p.Kind == api.VerbRun {
			return conn.Send(api.KindExited, api.Done{Code: 7})
		}
		conn.Send(api.KindOut, api.Text{Text: "Status: done\n"})
		return conn.Send(api.KindDone, api.Done{Text: "docker.io/library/img:latest"})
	})
}

func layer(id, state string, done, size int64) api.Progress {
	return api.Progress{Steps: []api.Step{{ID: id, State: state, Done: done, Size: size}}}
}

func sendAll(reports ...api.Progress) <-chan api.Progress {
	ch := make(chan api.Progress, len(reports))
	for _, r := range reports {
		ch <- r
	}
	close(ch)
	return ch
}

// TestProgressPlain: where standard error is no terminal, one line for each change
// of a state. Results go to standard output.
func TestProgressPlain(t *testing.T) {
	reports := []api.Progress{
		{Line: "Trying \x1b[31mimg"}, layer("aaaaaaaaaaaa", api.StepWaiting, 0, 0), layer("bbbbbbbbbbbb", api.StepPresent, 0, 0),
		layer("aaaaaaaaaaaa", api.StepPulling, 1, 9), layer("aaaaaaaaaaaa", api.StepPulling, 5, 9), layer("aaaaaaaaaaaa", api.StepComplete, 9, 9),
	}
	want := `Trying \x1b[31mimg
aaaaaaaaaaaa: Waiting
bbbbbbbbbbbb: Already exists
aaaaaaaaaaaa: Downloading
aaaaaaaaaaaa: Pull complete
`
	h := newHome(t)
	h.pulling(sendAll(reports...))
	h.sbx("pull", "img").want(t, result{out: "Status: done\ndocker.io/library/img:latest\n", err: want})
	h = newHome(t)
	h.pulling(sendAll(reports...))
	h.sbx("run", "--rm", "img").want(t, result{err: want, code: 7})
	h = newHome(t)
	h.pulling(sendAll(reports...))
	h.sbx("run", "-d", "img").want(t, result{err: want, code: 7})
}

// virtual is a terminal of a few lines, as far as progress uses one: text, line
// ends, cursor up and clear to the end.
type virtual struct {
	rows, row int
	lines     []string // all ever shown; those above the last rows have scrolled away
}

func (v *virtual) feed(t *testing.T, text string) {
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\r\n"):
			text = text[2:]
			v.row++
		case text[0] == '\r':
			text = text[1:]
		case strings.HasPrefix(text, "\x1b[K"):
			text = text[3:]
		case strings.HasPrefix(text, "\x1b[J"):
			if v.row <= max(len(v.lines)-v.rows, 0) {
				t.Error("the screen is cleared from its first line on")
			}
			text = text[3:]
			v.lines = v.lines[:min(v.row, len(v.lines))]
		case text[0] == '\x1b':
			n := 0
			if _, err := fmt.Sscanf(text, "\x1b[%dA", &n); err != nil {
				t.Fatalf("unknown sequence %.10q", text)
			}
			text = text[strings.IndexByte(text, 'A')+1:]
			v.row = max(v.row-n, len(v.lines)-v.rows+1, 0)
		default:
			line, rest, _ := strings.Cut(text, "\r\n")
			line = strings.TrimSuffix(line, "\x1b[K")
			for len(v.lines) <= v.row {
				v.lines = append(v.lines, "")
			}
			v.lines[v.row] = line
			text = "\r\n" + rest
		}
	}
}

// live starts a pull on a terminal of that size.
func (h home) live(size api.Size, args ...string) *screen {
	h.t.Helper()
	return h.screenWith(size, []string{"TERM=xterm"}, args...)
}

// TestProgressLive: lines are redrawn in place, in the order of their first
// reports; text and results come in whole lines.
func TestProgressLive(t *testing.T) {
	h := newHome(t)
	reports := make(chan api.Progress)
	h.pulling(reports)
	s := h.live(api.Size{Rows: 10, Cols: 100}, "pull", "img")
	var seen string
	show := func(r api.Progress, text string) {
		t.Helper()
		reports <- r
		seen += s.until(text)
	}
	show(layer("aaaaaaaaaaaa", api.StepPulling, 0, 1000), "aaaaaaaaaaaa: Downloading [>")
	show(layer("bbbbbbbbbbbb", api.StepPresent, 0, 0), "bbbbbbbbbbbb: Already exists")
	show(api.Progress{Line: "a remark"}, "a remark\x1b[K\r\n")
	show(layer("aaaaaaaaaaaa", api.StepPulling, 500, 1000), "500B/1.00kB")
	show(layer("aaaaaaaaaaaa", api.StepComplete, 1000, 1000), "aaaaaaaaaaaa: Pull complete")
	close(reports)
	seen += s.until("docker.io/library/img:latest\r\n")
	s.ends(0)
	v := virtual{rows: 10}
	v.feed(t, seen)
	got := strings.Join(v.lines, "\n")
	const want = "a remark\naaaaaaaaaaaa: Pull complete\nbbbbbbbbbbbb: Already exists\nStatus: done\ndocker.io/library/img:latest"
	if got != want {
		t.Errorf("on the screen:\n%s", got)
	}
}

// TestProgressManyLayers: more layers than lines never scroll the screen until the
// end, when all are listed.
func TestProgressManyLayers(t *testing.T) {
	h := newHome(t)
	reports := make(chan api.Progress)
	h.pulling(reports)
	s := h.live(api.Size{Rows: 8, Cols: 60}, "pull", "img")
	var all api.Progress
	for i := range 70 {
		all.Steps = append(all.Steps, api.Step{ID: fmt.Sprintf("%012d", i), State: api.StepWaiting})
	}
	reports <- all
	seen := s.until("64 more: 0 done, 64 to do")
	reports <- layer("000000000066", api.StepPulling, 1, 2)
	seen += s.until("000000000066: Downloading")
	seen += s.until("64 more: 0 done, 64 to do")
	if n := strings.Count(seen, "\r\n"); n > 7*strings.Count(seen, "more:") {
		t.Errorf("%d lines in %d pictures of 7", n, strings.Count(seen, "more:"))
	}
	if err := sys.SetWinsize(fdOf(s.master), 4, 30); err != nil {
		t.Fatal(err)
	}
	reports <- layer("000000000067", api.StepPulling, 1, 2)
	seen = s.until("68 more: 0 done, 68 to do")
	for line := range strings.SplitSeq(seen, "\r\n") {
		line = strings.TrimSuffix(line[strings.LastIndexByte(line, 'A')+1:], "\x1b[K")
		if len(line) > 29 {
			t.Errorf("a line of %d characters on a terminal of 30: %q", len(line), line)
		}
	}
	for i := range all.Steps {
		all.Steps[i].State = api.StepComplete
	}
	reports <- all
	close(reports)
	seen = s.until("docker.io/library/img:latest\r\n")
	for i := range all.Steps {
		if want := fmt.Sprintf("%012d: Pull complete\x1b[K\r\n", i); !strings.Contains(seen, want) {
			t.Errorf("%q is missing at the end", want)
		}
	}
	s.ends(0)
}

// TestProgressInterrupted: ctrl-C leaves whole lines and an ordinary terminal.
func TestProgressInterrupted(t *testing.T) {
	h := newHome(t)
	reports := make(chan api.Progress)
	h.pulling(reports)
	s := h.live(api.Size{Rows: 10, Cols: 100}, "pull", "img")
	reports <- layer("aaaaaaaaaaaa", api.StepPulling, 1, 1000)
	s.until("1B/1.00kB\r\n")
	s.keys("\x03")
	s.cmd.Wait() // its error is the status that is checked
	close(reports)
	if ws := s.cmd.ProcessState.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != unix.SIGINT {
		t.Errorf("ended with %v", s.cmd.ProcessState)
	}
	if s.isRaw() {
		t.Error("the terminal was left in raw mode")
	}
}

// TestProgressFault: an error follows what was going on, on a line of its own.
func TestProgressFault(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		p.CloseFiles()
		if err := conn.Send(api.KindProgress, layer("aaaaaaaaaaaa", api.StepPulling, 1, 1000)); err != nil {
			return err
		}
		return &api.Error{Op: "pull img", Msg: "no space left on device"}
	})
	s := h.live(api.Size{Rows: 10, Cols: 100}, "pull", "img")
	v := virtual{rows: 10}
	v.feed(t, s.until("no space left on device\r\n"))
	s.ends(1)
	if n := len(v.lines); n != 2 || !strings.HasSuffix(v.lines[0], "1B/1.00kB") || v.lines[1] != "sbx: pull img: no space left on device" {
		t.Errorf("on the screen: %q", v.lines)
	}
}

// TestProgressRate: drawing is bounded, however much is reported.
func TestProgressRate(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	p := progress{w: w, verb: api.VerbPull, started: true, live: true, board: board{words: wordsFor(api.VerbPull)}}
	start := time.Now()
	for n := int64(1); time.Since(start) < time.Second; n++ {
		packet := &api.Packet{Kind: api.KindProgress, Body: []byte(asJSON(t, layer("aaaaaaaaaaaa", api.StepPulling, n, 9000)))}
		if err := p.report(packet); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	p.finish()
	p.finish()
	w.Close()
	buf := make([]byte, 1<<20)
	n, err := r.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(buf[:n]), "Downloading"); got < 5 || got > 13 {
		t.Errorf("%d pictures in a second", got)
	}
}

// TestProgressOfFiles: what save, load and export do is shown on a terminal only. What
// there is to say is said anyway.
func TestProgressOfFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file.tar")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"save", "-o", file, "img"}, {"export", "-o", file, "box"}, {"load", "-i", file}} {
		h := newHome(t)
		h.pulling(sendAll(api.Progress{Line: "Odd"}, layer("aaaaaaaaaaaa", api.StepPushing, 1, 9), layer("aaaaaaaaaaaa", api.StepComplete, 9, 9)))
		h.sbx(args...).want(t, result{out: "Status: done\ndocker.io/library/img:latest\n", err: "Odd\n"})
	}
}
