package view

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"sbx/api"
)

// ttyBuild shows a build on a terminal: a line for each step, with the last lines of
// the output of those that go on. The live lines are the last on the screen, with the
// cursor below them and no mode changed, so that the command line may be ended at any
// time. When the build is over the whole list stays there.
type ttyBuild struct {
	build  *BuildProgress
	look   BuildLook
	timer  *time.Timer
	due    bool
	drawn  []string // what is on the screen, without colours
	closed bool
}

const (
	drawEvery = 100 * time.Millisecond
	logRows   = 6  // most lines of output that are shown of one step
	minTitle  = 12 // columns; a terminal that is narrower shows no times
)

func newTTYBuild(build *BuildProgress, look BuildLook) *ttyBuild {
	t := &ttyBuild{build: build, look: look}
	t.resize(look.Size)
	return t
}

func (t *ttyBuild) begun(*buildStep)             { t.schedule() }
func (t *ttyBuild) said(*buildStep, []logLine)   { t.schedule() }
func (t *ttyBuild) noted(*buildStep, *buildNote) { t.schedule() }
func (t *ttyBuild) ended(*buildStep)             { t.schedule() }

func (t *ttyBuild) resize(size api.Size) {
	t.look.Size = size
	if size.Cols == 0 || size.Rows == 0 {
		t.look.Size = api.Size{Rows: 24, Cols: 80}
	}
}

// schedule draws soon. While a step goes on the times change, so that it never ends.
func (t *ttyBuild) schedule() {
	switch {
	case t.due || t.closed:
		return
	case t.timer == nil:
		t.timer = time.AfterFunc(drawEvery, t.tick)
	default:
		t.timer.Reset(drawEvery)
	}
	t.due = true
}

func (t *ttyBuild) tick() {
	t.build.mu.Lock()
	defer t.build.mu.Unlock()
	t.due = false
	if t.closed {
		return
	}
	if !t.build.out.behind() {
		t.draw(t.live())
	}
	for _, s := range t.build.steps {
		if s.ended.IsZero() {
			t.schedule()
			return
		}
	}
}

// ttyLine is a line of the picture.
type ttyLine struct {
	text, colour string
}

// Colours of BuildKit.
const (
	blue   = "34"
	red    = "31"
	yellow = "33"
	faint  = "2"
)

// draw puts lines where the live ones are.
func (t *ttyBuild) draw(lines []ttyLine) {
	var b strings.Builder
	if len(t.drawn) > 0 {
		// A terminal that has become narrower has folded lines that are too long.
		rows, width := 0, int(t.look.Size.Cols)
		for _, line := range t.drawn {
			rows += max(1, (columns(line)+width-1)/width)
		}
		b.WriteString("\r\x1b[" + strconv.Itoa(min(rows, max(1, int(t.look.Size.Rows)-1))) + "A")
	}
	t.drawn = t.drawn[:0]
	for _, line := range lines {
		t.drawn = append(t.drawn, line.text)
		if t.look.Colour && line.colour != "" {
			b.WriteString("\x1b[" + line.colour + "m" + line.text + "\x1b[0m\x1b[K\n")
		} else {
			b.WriteString(line.text + "\x1b[K\n")
		}
	}
	// What is left of the earlier picture goes last: some terminals save a screen to
	// their history that is cleared from its first line on.
	b.WriteString("\x1b[J")
	t.build.out.print(b.String())
}

// live is the picture while the build goes on, at most one line less than the terminal
// has: steps that go on first, then their output, then steps that have ended, from the
// last one back. They are shown in their order.
func (t *ttyBuild) live() []ttyLine {
	steps := t.build.steps
	rows := max(1, int(t.look.Size.Rows)-2) // without the heading
	take := make([]int, len(steps))         // lines of each
	for i := len(steps) - 1; i >= 0; i-- {
		if steps[i].ended.IsZero() && rows > 0 {
			take[i] = 1
			rows--
		}
	}
	rows = t.shareRows(take, rows)
	for i := len(steps) - 1; i >= 0; i-- {
		if !steps[i].ended.IsZero() && rows > 0 {
			take[i] = min(rows, 1+len(steps[i].notes))
			rows -= take[i]
		}
	}
	lines := []ttyLine{t.heading("")}
	for i, s := range steps {
		if take[i] > 0 {
			block := append([]ttyLine{t.stepLine(s)}, t.below(s, take[i]-1)...)
			lines = append(lines, block...)
		}
	}
	return lines
}

// shareRows gives the steps that go on rows for what is below them.
func (t *ttyBuild) shareRows(take []int, rows int) (left int) {
	for n := 1; n <= logRows; n++ {
		for i, s := range t.build.steps {
			if take[i] == n && rows > 0 && t.belowLen(s) >= n {
				take[i]++
				rows--
			}
		}
	}
	return rows
}

func (t *ttyBuild) belowLen(s *buildStep) int {
	n := len(s.notes) + len(s.last)
	if len(s.text.line) > 0 {
		n++
	}
	return n
}

// below are the last n lines of a step that goes on, or the first n notes of one that
// has ended.
func (t *ttyBuild) below(s *buildStep, n int) []ttyLine {
	var lines []ttyLine
	for _, note := range s.notes {
		lines = append(lines, t.noteLine(note))
	}
	if !s.ended.IsZero() {
		return lines[:min(n, len(lines))]
	}
	for _, l := range s.last {
		lines = append(lines, t.logLine(l.text))
	}
	if text := s.text.sofar(); text != "" {
		lines = append(lines, t.logLine(text))
	}
	return lines[max(0, len(lines)-n):]
}

func (t *ttyBuild) width() int { return max(2, int(t.look.Size.Cols)-1) }

// heading is "[+] Building 5.2s (5/7)".
func (t *ttyBuild) heading(end string) ttyLine {
	done, total := 0, max(t.build.total, len(t.build.steps))
	for _, s := range t.build.steps {
		if !s.ended.IsZero() {
			done++
		}
	}
	text := fmt.Sprintf("[+] Building %s (%d/%d)", seconds(took(t.build.began, time.Time{}, t.build.now())), done, total)
	return ttyLine{text: clip(text+end, t.width())}
}

func (t *ttyBuild) stepLine(s *buildStep) ttyLine {
	title, colour := s.title, ""
	switch s.how {
	case StepCached:
		title, colour = "CACHED "+title, blue
	case StepCancelled:
		title, colour = "CANCELED "+title, yellow
	case StepFailed:
		title, colour = "ERROR "+title, red
	case StepOK:
		colour = blue
	}
	return ttyLine{t.timed(" => "+title, took(s.began, s.ended, t.build.now())), colour}
}

func (t *ttyBuild) noteLine(n *buildNote) ttyLine {
	colour := ""
	if !n.ended.IsZero() {
		colour = blue
	}
	return ttyLine{t.timed(" => => "+n.text, took(n.began, n.ended, t.build.now())), colour}
}

func (t *ttyBuild) logLine(text string) ttyLine {
	return ttyLine{clip(" => => # "+text, t.width()), faint}
}

// timed is a line with a time at its right end.
func (t *ttyBuild) timed(text string, d time.Duration) string {
	right := " " + seconds(d)
	if room := t.width() - len(right); room >= minTitle {
		return fit(text, room) + right
	}
	return clip(text, t.width())
}

// final is the whole picture.
func (t *ttyBuild) final() []ttyLine {
	end := " FINISHED"
	for _, s := range t.build.steps {
		if s.how != StepOK && s.how != StepCached {
			end = ""
		}
	}
	lines := []ttyLine{t.heading(end)}
	for _, s := range t.build.steps {
		lines = append(lines, t.stepLine(s))
		for _, n := range s.notes {
			lines = append(lines, t.noteLine(n))
		}
	}
	return lines
}

// settle leaves the whole picture on the screen, for text to follow.
func (t *ttyBuild) settle() {
	if t.closed {
		return
	}
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
	}
	if len(t.build.steps) > 0 {
		t.draw(t.final())
	}
}

func (t *ttyBuild) failed(text string) {
	t.settle()
	t.build.out.print(text)
}

func (t *ttyBuild) close(warnings []LintWarning) {
	t.settle()
	t.build.out.print(lintSummary(warnings))
}
