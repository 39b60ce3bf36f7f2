package view

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"sbx/api"
)

// buildStep is one step of a build, as it is shown.
type buildStep struct {
	id, number   int // number: by the order of beginning, from 1
	title        string
	began, ended time.Time
	how          string // StepOK, ...; empty while it goes on
	err          error
	text         logText
	last         []logLine // up to lastLines
	notes        []*buildNote
}

// logLine is a whole line of output.
type logLine struct {
	at   time.Duration // since the step began
	text string
}

// buildNote is a line below a step, such as the layer of an image that is pulled.
type buildNote struct {
	key, text    string
	began, ended time.Time
	final        bool
}

// lastLines of the output are shown again when a step fails.
const lastLines = 10

func (s *buildStep) keep(lines []logLine) {
	s.last = append(s.last, lines...)
	if surplus := len(s.last) - lastLines; surplus > 0 {
		s.last = append(s.last[:0], s.last[surplus:]...)
	}
}

// note finds the note with a key, or makes it.
func (s *buildStep) note(key string, now time.Time) *buildNote {
	for _, n := range s.notes {
		if n.key == key {
			return n
		}
	}
	n := &buildNote{key: key, began: now}
	s.notes = append(s.notes, n)
	return n
}

func (s *buildStep) end(end StepEnd, now time.Time) {
	s.ended, s.how, s.err = now, end.How, end.Err
	for _, n := range s.notes {
		if n.ended.IsZero() {
			n.ended = now
		}
	}
}

// took is how long it has taken, up to now if it goes on.
func took(began, ended, now time.Time) time.Duration {
	if ended.IsZero() {
		ended = now
	}
	return max(0, ended.Sub(began))
}

// lastWords are the last lines of a step that failed, as BuildKit frames them.
func (s *buildStep) lastWords() string {
	if len(s.last) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("------\n > " + s.title + ":\n")
	for _, line := range s.last {
		b.WriteString(line.stamped() + "\n")
	}
	b.WriteString("------\n")
	return b.String()
}

// stamped is a line with its time, to a thousandth of a second in the first ten.
func (l logLine) stamped() string {
	digits := 3
	switch {
	case l.at >= 100*time.Second:
		digits = 1
	case l.at >= 10*time.Second:
		digits = 2
	}
	return fmt.Sprintf("%.*f %s", digits, l.at.Seconds(), l.text)
}

// seconds is a duration as BuildKit shows it.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }

// reason is the error of a step on one line.
func (s *buildStep) reason() string {
	if s.err == nil {
		return "failed"
	}
	return oneLine(s.err.Error())
}

// transferText is the state of a layer that travels, in the words of pull.
func transferText(s api.Step) (text string, final bool) {
	bytes := ""
	if s.Done > 0 {
		bytes = " " + units.HumanSize(float64(s.Done))
		if s.Size > 0 {
			bytes += " / " + units.HumanSize(float64(s.Size))
		}
	}
	switch s.State {
	case api.StepComplete, api.StepPresent, api.StepMounted:
		return s.ID + " done", true
	case api.StepPulling:
		return s.ID + " pulling" + bytes, false
	case api.StepUnpacking:
		return s.ID + " extracting" + bytes, false
	}
	return s.ID + " " + s.State, false
}
