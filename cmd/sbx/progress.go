package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// progress shows on standard error what goes on while a supervisor works: on a
// terminal one live line for each step, elsewhere a plain line for each change of
// a step's state, or nothing of work that needs no network, as Docker has it. The zero value of all but w and verb shows nothing yet and costs
// nothing. The live lines are the last on the screen, with the cursor below them
// and no mode changed, so that we may be ended at any time.
type progress struct {
	w    *os.File
	verb string

	mu      sync.Mutex
	started bool
	live    bool // lines are drawn again and again
	plain   bool // each change is a line
	board   board
	timer   *time.Timer
	last    time.Time // of drawing
	drawn   []string  // what is on the screen
	over    bool
}

const (
	drawEvery = 100 * time.Millisecond
	tickEvery = time.Second // for rates, when nothing is reported
)

// report takes a KindProgress packet.
func (p *progress) report(packet *api.Packet) error {
	var change api.Progress
	if err := packet.Decode(&change); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start()
	now := time.Now()
	var text []string
	if change.Line != "" {
		text = append(text, printable(change.Line))
	}
	for _, s := range change.Steps {
		if p.board.update(s, now) && p.plain {
			text = append(text, printable(s.ID)+": "+p.board.words.of(s.State))
		}
	}
	if len(text) > 0 {
		p.draw(text)
	}
	if p.live {
		p.schedule(max(0, drawEvery-now.Sub(p.last)))
	}
	return nil
}

func (p *progress) start() {
	if p.started {
		return
	}
	p.started = true
	p.board.words = wordsFor(p.verb)
	term := os.Getenv("TERM")
	p.live = term != "" && term != "dumb" && isTerminal(p.w)
	p.plain = !p.live && p.verb != api.VerbSave && p.verb != api.VerbLoad && p.verb != api.VerbExport
}

// schedule draws after a while, unless that is due sooner anyway.
func (p *progress) schedule(wait time.Duration) {
	if p.timer == nil {
		p.timer = time.AfterFunc(wait, p.tick)
		return
	}
	p.timer.Reset(wait)
}

func (p *progress) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return
	}
	now := time.Now()
	if early := drawEvery - now.Sub(p.last); early > 0 {
		p.schedule(early) // it was due twice, the second time by a report that came in between
		return
	}
	p.last = now
	p.board.idle(now)
	p.draw(nil)
	if p.board.busy() {
		p.schedule(tickEvery)
	}
}

// draw puts text where the live lines are, and what they are now below it. It is
// one write: whoever ends us meanwhile leaves a whole picture.
func (p *progress) draw(text []string) {
	var lines []string
	if p.live {
		width, height := p.size()
		lines = p.board.lines(width-1, height-1)
	}
	if len(text) == 0 && slices.Equal(lines, p.drawn) {
		return
	}
	p.replace(append(text, lines...))
	p.drawn = lines
}

// replace writes lines over the live lines. What is left of those is cleared from
// the end: some terminals save a screen to their history that is cleared from its
// first line on.
func (p *progress) replace(lines []string) {
	if len(p.drawn) == 0 {
		p.write(strings.Join(append(lines, ""), "\n"))
		return
	}
	// A terminal that has become narrower has folded lines that are too long for it.
	width, height := p.size()
	rows := 0
	for _, line := range p.drawn {
		rows += max(1, (len(line)+width-1)/width)
	}
	p.write("\r\x1b[" + strconv.Itoa(min(rows, height-1)) + "A" + strings.Join(append(lines, ""), "\x1b[K\n") + "\x1b[J")
}

// size of the terminal, at least 2 by 2.
func (p *progress) size() (width, height int) {
	ws, err := unix.IoctlGetWinsize(fdOf(p.w), unix.TIOCGWINSZ)
	if err != nil || ws.Col == 0 || ws.Row == 0 {
		return 80, 24
	}
	return max(2, int(ws.Col)), max(2, int(ws.Row))
}

func (p *progress) write(text string) {
	if text == "" {
		return
	}
	// What cannot be shown is no reason to stop the work.
	_, _ = p.w.WriteString(text)
}

// settle leaves the steps on the screen as they are, in their order, for other text
// to follow. What is reported later begins a new list.
func (p *progress) settle() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.live && len(p.board.steps) > 0 {
		width, _ := p.size()
		p.replace(p.board.lines(width-1, len(p.board.steps)))
	}
	p.drawn, p.board.steps = nil, nil
}

// finish is settle, and stops the drawing. It may be called any number of times.
func (p *progress) finish() {
	p.settle()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.timer != nil {
		p.timer.Stop()
	}
}
