package view

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"sbx/api"
)

// buildClock is a time that goes on as a test says.
type buildClock struct{ at time.Time }

func (c *buildClock) now() time.Time       { return c.at }
func (c *buildClock) pass(d time.Duration) { c.at = c.at.Add(d) }
func newBuildClock() *buildClock           { return &buildClock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }
func (c *buildClock) progress(b *strings.Builder, look BuildLook) *BuildProgress {
	return newBuildProgress(func(text string) error { b.WriteString(text); return nil }, look, c.now)
}

var exampleFile = []byte("FROM debian AS Base\nRUN apt-get update\n\nRUN make\nCMD sh\n")

// exampleBuild is a build of which a step fails while another one goes on. Show is
// called in the midst of it.
func exampleBuild(p *BuildProgress, c *buildClock, show func()) {
	p.Total(7)
	p.Step(1, "[internal] load build definition from Dockerfile")
	p.Note(1, "transferring dockerfile: 31B")
	p.Done(1, StepEnd{How: StepOK})
	p.Step(2, "[base 1/3] FROM docker.io/library/debian:13")
	p.Transfer(2, api.Progress{Line: "Trying docker.io/library/debian:13", Steps: []api.Step{{ID: "a1b2c3d4e5f6", State: api.StepPulling, Done: 12e6, Size: 45e6}}})
	c.pass(1500 * time.Millisecond)
	p.Transfer(2, api.Progress{Steps: []api.Step{{ID: "a1b2c3d4e5f6", State: api.StepPulling, Done: 30e6, Size: 45e6}}})
	p.Transfer(2, api.Progress{Steps: []api.Step{{ID: "a1b2c3d4e5f6", State: api.StepComplete, Done: 45e6, Size: 45e6}}})
	p.Done(2, StepEnd{How: StepOK})
	p.Step(3, "[base 2/3] RUN apt-get update")
	p.Done(3, StepEnd{How: StepCached})
	p.Step(5, "[other 1/1] RUN <<EOF (echo 漢字...)\nEOF")
	p.Step(4, "[base 3/3] RUN make")
	for i := range 14 {
		p.Log(4, fmt.Appendf(nil, "\x1b[32mCC\x1b[0m file%d.c\n", i))
	}
	p.Log(5, []byte("one\r\ntwo 漢字\n 10%\r 20%"))
	c.pass(10 * time.Second)
	show()
	p.Log(4, []byte("make: *** [all] Error 2"))
	p.Done(4, StepEnd{How: StepFailed, Err: errors.New("exit status 2")})
	p.Done(5, StepEnd{How: StepCancelled})
	p.Warn(LintWarning{Rule: "JSONArgsRecommended", Text: "JSON arguments recommended for CMD", File: "Dockerfile", Source: exampleFile, Ranges: []LineRange{{5, 5}}})
	p.Warn(LintWarning{Rule: "StageNameCasing", Text: "Stage name 'Base' should be lowercase", File: "Dockerfile", Source: exampleFile, Ranges: []LineRange{{1, 1}}})
	p.Fail(BuildFault{Step: 4, File: "Dockerfile", Source: exampleFile, Ranges: []LineRange{{4, 4}}})
	p.Close()
	p.Close()
	p.Step(9, "after the end")
	p.Log(4, []byte("after the end\n"))
}

func TestBuildPlain(t *testing.T) {
	var b strings.Builder
	c := newBuildClock()
	exampleBuild(c.progress(&b, BuildLook{Mode: BuildPlain}), c, func() {})
	golden(t, "build-plain.golden", b.String())
}

func TestBuildQuiet(t *testing.T) {
	var b strings.Builder
	c := newBuildClock()
	exampleBuild(c.progress(&b, BuildLook{Mode: BuildTTY, Quiet: true}), c, func() {})
	golden(t, "build-quiet.golden", b.String())
}

// TestBuildRaw: one JSON object a line, with the fields that BuildKit's readers know.
func TestBuildRaw(t *testing.T) {
	var b strings.Builder
	c := newBuildClock()
	exampleBuild(c.progress(&b, BuildLook{Mode: BuildRawJSON}), c, func() {})
	log := ""
	for line := range strings.Lines(b.String()) {
		var status rawStatus
		if err := json.Unmarshal([]byte(line), &status); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for _, l := range status.Logs {
			log += string(l.Data)
		}
	}
	if !strings.HasPrefix(log, "CC file0.c\n") || !strings.Contains(log, "one\ntwo 漢字\n") || !strings.HasSuffix(log, " 20%\n") {
		t.Errorf("logs are %q", log)
	}
	golden(t, "build-raw.golden", b.String())
}

// TestBuildTTY: what is on terminals of several sizes in the midst of a build and after
// it, with what has scrolled out of it.
func TestBuildTTY(t *testing.T) {
	for _, size := range []api.Size{{Rows: 24, Cols: 80}, {Rows: 10, Cols: 40}, {Rows: 3, Cols: 12}} {
		t.Run(fmt.Sprintf("%dx%d", size.Cols, size.Rows), func(t *testing.T) {
			var b strings.Builder
			c := newBuildClock()
			p := c.progress(&b, BuildLook{Mode: BuildTTY, Size: size})
			s := &screen{cols: int(size.Cols), rows: int(size.Rows)}
			s.write("$ sbx build .\n")
			var live string
			exampleBuild(p, c, func() {
				p.drawNow()
				p.drawNow()
				s.write(b.String())
				b.Reset()
				live = s.text()
			})
			s.write(b.String())
			golden(t, fmt.Sprintf("build-tty-%dx%d.golden", size.Cols, size.Rows), live+"=== at the end ===\n"+s.text())
		})
	}
}

// TestBuildTTYResized: a picture that the terminal has folded is drawn over.
func TestBuildTTYResized(t *testing.T) {
	var b strings.Builder
	c := newBuildClock()
	p := c.progress(&b, BuildLook{Mode: BuildTTY, Size: api.Size{Rows: 20, Cols: 60}})
	p.Step(1, "[1/1] FROM debian")
	p.drawNow()
	first := strings.Count(b.String(), "\n")
	b.Reset()
	p.Resize(api.Size{Rows: 20, Cols: 30})
	p.drawNow()
	if want := fmt.Sprintf("\r\x1b[%dA", 1+2); first != 2 || !strings.HasPrefix(b.String(), want) {
		t.Errorf("%d lines first, then %q", first, b.String())
	}
	p.Close()
}

// drawNow draws a live picture and writes it.
func (p *BuildProgress) drawNow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	face := p.face.(*ttyBuild)
	face.draw(face.live())
	p.out.flush()
}

func TestBuildTTYColours(t *testing.T) {
	var b strings.Builder
	c := newBuildClock()
	p := c.progress(&b, BuildLook{Mode: BuildTTY, Colour: true})
	p.Step(1, "one")
	p.Done(1, StepEnd{How: StepOK})
	p.Step(2, "two \x1b[31m")
	p.Done(2, StepEnd{How: StepFailed})
	p.Close()
	for _, want := range []string{"\x1b[34m => one", "\x1b[31m => ERROR two \\x1b[31m"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in %q", want, b.String())
		}
	}
}

// TestBuildPlainSideBySide: lines of steps that go on together are held back, so that
// they stay together, but not for long.
func TestBuildPlainSideBySide(t *testing.T) {
	var b strings.Builder
	c := newBuildClock()
	p := c.progress(&b, BuildLook{})
	p.Step(1, "a")
	p.Step(2, "b")
	p.Log(1, []byte("a1\n"))
	p.Log(2, []byte("b1\n"))
	p.Log(1, []byte("a2\n"))
	c.pass(3 * time.Second)
	p.Log(2, []byte("b2\n"))
	p.Log(1, []byte("a3\n"))
	p.Done(2, StepEnd{How: StepOK})
	p.Close()
	want := "#1 a\n#1 0.000 a1\n#1 0.000 a2\n#1 ...\n\n#2 b\n#2 0.000 b1\n#2 3.000 b2\n#2 DONE 3.0s\n\n#1 a\n#1 3.000 a3\n"
	if b.String() != want {
		t.Errorf("got %q\nwant %q", b.String(), want)
	}
}

// TestBuildPlainReleases: lines that are held back come out even if nothing follows.
func TestBuildPlainReleases(t *testing.T) {
	got := make(chan string, 100)
	p := NewBuildProgress(func(text string) error { got <- text; return nil }, BuildLook{})
	p.Step(1, "a")
	p.Step(2, "b")
	p.Log(2, []byte("b1\n"))
	text := ""
	for deadline := time.After(20 * time.Second); !strings.Contains(text, " b1\n"); {
		select {
		case more := <-got:
			text += more
		case <-deadline:
			t.Fatalf("only %q came", text)
		}
	}
	p.Close()
}

// TestBuildReaderStops: the build goes on while nobody reads, and all its text comes
// when somebody does again; only much text has to wait.
func TestBuildReaderStops(t *testing.T) {
	read, b := make(chan struct{}), strings.Builder{}
	p := NewBuildProgress(func(text string) error { <-read; b.WriteString(text); return nil }, BuildLook{})
	p.Step(1, "long")
	for i := range 20000 {
		p.Log(1, fmt.Appendf(nil, "line %d\n", i))
	}
	p.Done(1, StepEnd{How: StepOK})
	p.Step(2, "much")
	const line, lines = 1000, 2 * tooMuch / 1000
	var logged atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range lines {
			p.Log(2, append(bytes.Repeat([]byte("x"), line-1), '\n'))
		}
		logged.Store(true)
		p.Close()
	}()
	time.Sleep(time.Second)
	if logged.Load() {
		t.Error("nobody waits for the reader")
	}
	close(read)
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("the end does not come")
	}
	if short, long := strings.Count(b.String(), " line "), strings.Count(b.String(), "xx\n"); short != 20000 || long != lines {
		t.Errorf("%d and %d lines came", short, long)
	}
}

// TestBuildTTYReaderStops: pictures that nobody has seen do not pile up.
func TestBuildTTYReaderStops(t *testing.T) {
	read, b := make(chan struct{}), strings.Builder{}
	p := NewBuildProgress(func(text string) error { <-read; b.WriteString(text); return nil }, BuildLook{Mode: BuildTTY})
	p.Step(1, "long")
	time.Sleep(10 * drawEvery)
	close(read)
	p.Close()
	if pictures := strings.Count(b.String(), "[+]"); pictures < 2 || pictures > 4 {
		t.Errorf("%d pictures were drawn", pictures)
	}
}

// screen is a terminal as far as the progress needs one. Lines that scroll out are
// kept.
type screen struct {
	cols, rows int
	gone       []string
	lines      [][]rune
	row, col   int
}

func (s *screen) write(text string) {
	for text != "" {
		var n int
		switch {
		case strings.HasPrefix(text, "\x1b[K"):
			s.line()
			s.lines[s.row] = s.lines[s.row][:min(s.col, len(s.lines[s.row]))]
			text = text[3:]
			continue
		case strings.HasPrefix(text, "\x1b[J"):
			s.line()
			s.lines[s.row] = s.lines[s.row][:min(s.col, len(s.lines[s.row]))]
			s.lines = s.lines[:s.row+1]
			text = text[3:]
			continue
		case strings.HasPrefix(text, "\x1b["):
			if _, err := fmt.Sscanf(text, "\x1b[%dA", &n); err != nil {
				panic(fmt.Sprintf("%q: %v", text, err))
			}
			s.row = max(0, s.row-n)
			text = text[strings.IndexByte(text, 'A')+1:]
			continue
		}
		for i, r := range text {
			if r == '\x1b' {
				text = text[i:]
				break
			}
			s.put(r)
			if i+len(string(r)) == len(text) {
				text = ""
			}
		}
	}
}

func (s *screen) line() {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, nil)
	}
}

func (s *screen) put(r rune) {
	switch r {
	case '\n':
		s.down()
		s.col = 0
		return
	case '\r':
		s.col = 0
		return
	}
	if s.col+columnsOf(r) > s.cols {
		s.down()
		s.col = 0
	}
	s.line()
	line := s.lines[s.row]
	for len(line) < s.col {
		line = append(line, ' ')
	}
	// A wide character takes a second cell, which shows nothing.
	cells := append([]rune{r}, []rune(strings.Repeat("\x00", columnsOf(r)-1))...)
	s.lines[s.row] = append(append(line[:s.col:s.col], cells...), line[min(len(line), s.col+len(cells)):]...)
	s.col += len(cells)
}

func (s *screen) down() {
	s.line()
	if s.row++; s.row == s.rows {
		s.gone = append(s.gone, string(s.lines[0]))
		s.lines, s.row = s.lines[1:], s.row-1
	}
	s.line()
}

// text is all that was ever shown and not drawn over. The place of the cursor is
// marked.
func (s *screen) text() string {
	all := append([]string{}, s.gone...)
	for i, l := range s.lines {
		line := string(l)
		if i == s.row && s.col == 0 {
			line += "_"
		}
		all = append(all, line)
	}
	for i, l := range all {
		all[i] = strings.TrimRight(strings.ReplaceAll(l, "\x00", ""), " ")
	}
	return strings.Join(all, "\n") + "\n"
}
