package view

import (
	"fmt"
	"strings"
	"time"

	"sbx/api"
)

// plainBuild shows a build as lines that each begin with the number of their step, as
// BuildKit's plain progress does. Of steps that go on side by side one is shown at a
// time; what the others say is held back for a while, so that lines of one step stay
// together.
type plainBuild struct {
	out     *buildOutput
	now     func() time.Time
	any     bool       // something is shown already
	current *buildStep // the one whose lines come last; nil: it has ended
	since   time.Time  // when it became that
	held    []heldLines
	timer   *time.Timer
	printed map[*buildNote]printedNote
}

// heldLines are lines of a step that is not shown.
type heldLines struct {
	step *buildStep
	text strings.Builder
}

type printedNote struct {
	text string
	at   time.Time
}

const (
	holdFor   = 2 * time.Second // how long lines are held back
	holdBytes = 64 << 10
	noteEvery = 5 * time.Second // how often a note is printed that changes
)

func newPlainBuild(out *buildOutput, now func() time.Time) *plainBuild {
	return &plainBuild{out: out, now: now, printed: map[*buildNote]printedNote{}}
}

func (p *plainBuild) begun(s *buildStep) {
	if p.current == nil {
		p.show(s)
	}
}

func (p *plainBuild) said(s *buildStep, lines []logLine) {
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "#%d %s\n", s.number, l.stamped())
	}
	p.print(s, b.String())
}

func (p *plainBuild) noted(s *buildStep, n *buildNote) {
	last, known := p.printed[n]
	if known && (last.text == n.text || !n.final && p.now().Sub(last.at) < noteEvery) {
		return
	}
	p.printNote(s, n)
}

func (p *plainBuild) printNote(s *buildStep, n *buildNote) {
	p.printed[n] = printedNote{n.text, p.now()}
	p.print(s, fmt.Sprintf("#%d %s\n", s.number, n.text))
}

// print prints lines of a step, now or later.
func (p *plainBuild) print(s *buildStep, text string) {
	if p.current == nil || p.current == s {
		p.show(s)
		p.out.print(text)
		return
	}
	held := p.hold(s)
	held.text.WriteString(text)
	if held.text.Len() > holdBytes || p.now().Sub(p.since) > holdFor {
		p.show(s)
		return
	}
	if p.timer == nil {
		p.timer = time.AfterFunc(holdFor, p.release)
	}
}

// release shows what has been held back long enough.
func (p *plainBuild) release() {
	p.out.lock.Lock()
	defer p.out.lock.Unlock()
	p.timer = nil
	if len(p.held) > 0 {
		p.show(p.held[0].step)
	}
	if len(p.held) > 0 {
		p.timer = time.AfterFunc(holdFor, p.release)
	}
}

func (p *plainBuild) hold(s *buildStep) *heldLines {
	for i := range p.held {
		if p.held[i].step == s {
			return &p.held[i]
		}
	}
	p.held = append(p.held, heldLines{step: s})
	return &p.held[len(p.held)-1]
}

// show makes a step the one whose lines follow, and prints what was held back of it.
func (p *plainBuild) show(s *buildStep) {
	if p.current != s {
		if p.current != nil {
			p.out.print(fmt.Sprintf("#%d ...\n", p.current.number))
		}
		if p.any {
			p.out.print("\n")
		}
		p.out.print(fmt.Sprintf("#%d %s\n", s.number, s.title))
		p.any, p.current, p.since = true, s, p.now()
	}
	for i := range p.held {
		if p.held[i].step == s {
			p.out.print(p.held[i].text.String())
			p.held = append(p.held[:i], p.held[i+1:]...)
			return
		}
	}
}

func (p *plainBuild) ended(s *buildStep) {
	p.show(s)
	for _, n := range s.notes {
		if p.printed[n].text != n.text {
			p.printNote(s, n)
		}
		delete(p.printed, n)
	}
	end := ""
	switch s.how {
	case StepCached:
		end = "CACHED"
	case StepCancelled:
		end = "CANCELED"
	case StepFailed:
		end = "ERROR: " + s.reason()
	default:
		end = "DONE " + seconds(took(s.began, s.ended, s.ended))
	}
	p.out.print(fmt.Sprintf("#%d %s\n", s.number, end))
	p.current = nil
	if len(p.held) > 0 {
		p.show(p.held[0].step)
	}
}

func (p *plainBuild) failed(text string) { p.out.print(text) }

func (p *plainBuild) resize(api.Size) {}

func (p *plainBuild) close(warnings []LintWarning) {
	if p.timer != nil {
		p.timer.Stop()
	}
	for len(p.held) > 0 {
		p.show(p.held[0].step)
	}
	p.out.print(lintSummary(warnings))
}
