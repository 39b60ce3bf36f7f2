package main

import (
	"strconv"
	"strings"
	"time"

	"sbx/api"
)

// board is what is known of the steps of long work, in the order of their first
// reports. It makes lines of them and draws nothing itself.
type board struct {
	words words
	steps []*step // few enough that a search beats a map
}

// step is the last report of one step, and how fast it goes.
type step struct {
	api.Step
	sampled time.Time // when bytes was seen
	bytes   int64
	rate    float64 // bytes a second, smoothed; 0: not known
}

// words are how states read for one command; Docker's.
type words struct{ pulling, unpacking, complete, present, pushing string }

func wordsFor(verb string) words {
	w := words{"Downloading", "Extracting", "Pull complete", "Already exists", "Pushing"}
	switch verb {
	case api.VerbPush:
		w.complete, w.present = "Pushed", "Layer already exists"
	case api.VerbLoad:
		w.pulling, w.unpacking, w.complete = "Loading", "Loading", "Loaded"
	case api.VerbSave:
		w.pulling, w.pushing, w.complete = "Saving", "Saving", "Saved"
	case api.VerbExport:
		w.pulling, w.pushing, w.complete = "Exporting", "Exporting", "Exported"
	case api.VerbCopy:
		w.pushing, w.complete = "Copying", "Copied"
	}
	return w
}

func (w words) of(state string) string {
	switch state {
	case api.StepWaiting:
		return "Waiting"
	case api.StepPulling:
		return w.pulling
	case api.StepUnpacking:
		return w.unpacking
	case api.StepComplete:
		return w.complete
	case api.StepPresent:
		return w.present
	case api.StepPushing:
		return w.pushing
	case api.StepMounted:
		return "Mounted from another repository"
	case api.StepRetrying:
		return "Retrying"
	}
	return printable(state)
}

// active steps move bytes.
func active(state string) bool {
	return state == api.StepPulling || state == api.StepUnpacking || state == api.StepPushing
}

// final steps change no more.
func final(state string) bool {
	return state == api.StepPresent || state == api.StepComplete || state == api.StepMounted
}

// update takes a report in and says whether the state is another one.
func (b *board) update(report api.Step, now time.Time) (changed bool) {
	s := b.find(report.ID)
	changed = s == nil || s.State != report.State
	if s == nil {
		s = &step{}
		b.steps = append(b.steps, s)
	}
	if changed || report.Done < s.bytes {
		s.sampled, s.bytes, s.rate = now, report.Done, 0
	} else {
		s.sample(report.Done, now)
	}
	s.Step = report
	return changed
}

func (b *board) find(id string) *step {
	for _, s := range b.steps {
		if s.ID == id {
			return s
		}
	}
	return nil
}

// sampleEvery is how long bytes are counted for one sample of the rate.
const sampleEvery = 500 * time.Millisecond

// sample takes the rate as an average in which the last few seconds count most.
func (s *step) sample(done int64, now time.Time) {
	passed := now.Sub(s.sampled)
	if passed < sampleEvery {
		return
	}
	rate := float64(done-s.bytes) / passed.Seconds()
	if s.rate > 0 {
		// A sample over a longer time weighs more.
		weight := min(0.9, 0.3*passed.Seconds()/sampleEvery.Seconds())
		rate = weight*rate + (1-weight)*s.rate
	}
	s.sampled, s.bytes, s.rate = now, done, rate
}

// idle lets the rates of steps sink that have reported nothing for a while.
func (b *board) idle(now time.Time) {
	for _, s := range b.steps {
		if active(s.State) && now.Sub(s.sampled) > 2*time.Second {
			s.sample(s.Done, now)
		}
	}
}

// busy says whether the lines change with time alone.
func (b *board) busy() bool {
	for _, s := range b.steps {
		if active(s.State) {
			return true
		}
	}
	return false
}

// lines are the steps on a terminal of that many columns, in at most height
// lines. Where there are more steps, those that go on are shown, and a last line
// counts the others.
func (b *board) lines(width, height int) []string {
	shown, hidden := b.steps, ""
	if height = max(height, 1); len(shown) > height {
		shown, hidden = b.choose(height - 1)
	}
	lines := make([]string, 0, len(shown)+1)
	for _, s := range shown {
		lines = append(lines, s.line(b.words, width))
	}
	if hidden != "" {
		lines = append(lines, cut(hidden, width))
	}
	return lines
}

// choose takes n steps, in their order: those that go on before those that wait
// before those that are done.
func (b *board) choose(n int) (shown []*step, rest string) {
	rank := func(s *step) int {
		switch {
		case final(s.State):
			return 2
		case s.State == api.StepWaiting:
			return 1
		}
		return 0
	}
	take := make([]bool, len(b.steps))
	for r := range 3 {
		for i, s := range b.steps {
			if n > 0 && rank(s) == r {
				take[i] = true
				n--
			}
		}
	}
	waiting, done := 0, 0
	for i, s := range b.steps {
		switch {
		case take[i]:
			shown = append(shown, s)
		case final(s.State):
			done++
		default:
			waiting++
		}
	}
	return shown, strconv.Itoa(done+waiting) + " more: " + strconv.Itoa(done) + " done, " + strconv.Itoa(waiting) + " to do"
}

const (
	maxBar = 50
	minBar = 10
)

// line is one step:
//
//	a1b2c3d4e5f6: Downloading [====>     ]  12.3MB/45.6MB  5.2MB/s  6s left
//
// with as much of the bar as there is room for beside the longest numbers, so that
// it keeps its length.
func (s *step) line(w words, width int) string {
	head := printable(s.ID) + ": " + w.of(s.State)
	if !active(s.State) {
		return cut(head, width)
	}
	tail := s.numbers()
	room := min(maxBar, width-len(head)-len(" []  123MB/123MB  123MB/s  59m59s left"))
	if s.Size > 0 && room >= minBar {
		return cut(head+" ["+bar(s.Done, s.Size, room)+"]  "+tail, width)
	}
	return cut(head+"  "+tail, width)
}

// numbers are the bytes, the rate and the time left, as far as they are known.
func (s *step) numbers() string {
	text := humanSize(float64(s.Done))
	if s.Size > 0 {
		text += "/" + humanSize(float64(s.Size))
	}
	if s.rate <= 0 {
		return text
	}
	text += "  " + humanSize(s.rate) + "/s"
	if left := float64(s.Size-s.Done) / s.rate; s.Size > 0 && left > 0 {
		text += "  " + humanTime(left) + " left"
	}
	return text
}

// bar is an arrow of width characters.
func bar(done, size int64, width int) string {
	n := int(min(1, float64(max(done, 0))/float64(size)) * float64(width))
	switch {
	case n == width:
		return strings.Repeat("=", width)
	case n == 0:
		return ">" + strings.Repeat(" ", width-1)
	}
	return strings.Repeat("=", n-1) + ">" + strings.Repeat(" ", width-n)
}

// humanSize has three digits, as in 1.23MB, so that it is nearly always as wide.
func humanSize(n float64) string {
	unit := 0
	for n >= 999.5 && unit < len(" kMGTP")-1 {
		n /= 1000
		unit++
	}
	digits := 2
	switch {
	case unit == 0 || n >= 99.95:
		digits = 0
	case n >= 9.995:
		digits = 1
	}
	return strconv.FormatFloat(n, 'f', digits, 64) + strings.TrimSpace(" kMGTP"[unit:unit+1]) + "B"
}

// humanTime has the two largest units: 6s, 1m20s, 2h03m.
func humanTime(seconds float64) string {
	n := int(min(seconds, 99*3600)) + 1
	switch {
	case n < 60:
		return strconv.Itoa(n) + "s"
	case n < 3600:
		return strconv.Itoa(n/60) + "m" + twoDigits(n%60) + "s"
	}
	return strconv.Itoa(n/3600) + "h" + twoDigits(n%3600/60) + "m"
}

func twoDigits(n int) string {
	if n < 10 {
		return "0" + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}

// cut shortens a line to width columns. Everything in it is one column wide.
func cut(line string, width int) string {
	if len(line) <= width {
		return line
	}
	return line[:max(width, 0)]
}
