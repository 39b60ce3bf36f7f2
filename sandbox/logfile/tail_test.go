package logfile

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lines is a random log: what its files hold, oldest first, and its lines in the
// order of their last parts.
type lines struct {
	files []string
	all   []textLine
}

type textLine struct {
	stream int
	text   string
	last   int // number of its last record
}

func randomLog(r *rand.Rand, files, records int) lines {
	var l lines
	var open [streams]textLine
	n := 0
	for range files {
		var b strings.Builder
		for range r.IntN(records + 1) {
			s := r.IntN(streams)
			n++
			text := fmt.Sprintf("%d", r.IntN(1000)) + strings.Repeat("x", r.IntN(50))
			open[s] = textLine{s, open[s].text + text, n}
			flag := partial
			if r.IntN(2) == 0 {
				flag = full
				open[s].text += "\n"
				l.all = append(l.all, open[s])
				open[s] = textLine{}
			}
			fmt.Fprintf(&b, "%s %s %c %s\n", stampA, []string{"stdout", "stderr"}[s], flag, text)
		}
		l.files = append(l.files, b.String())
	}
	for _, line := range open {
		if line.last > 0 {
			l.all = append(l.all, line)
		}
	}
	slices.SortFunc(l.all, func(a, b textLine) int { return a.last - b.last })
	return l
}

func TestTailOfRandomLogs(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		dir := t.TempDir()
		l := randomLog(r, 1+r.IntN(4), 8)
		for i, text := range l.files {
			put(t, dir, name(len(l.files)-1-i), text)
		}
		for n := range len(l.all) + 2 {
			var want [streams]string
			for _, line := range l.all[max(0, len(l.all)-n):] {
				want[line.stream] += line.text
			}
			if got := readStream(t, dir, n); got != want {
				t.Fatalf("tail %d: got %q, want %q\nof %s", n, got, want, strings.Join(l.files, "--\n"))
			}
		}
	}
}

func readStream(t *testing.T, dir string, tail int) [streams]string {
	t.Helper()
	out, errOut := read(t, dir, ReadOptions{Tail: tail})
	return [streams]string{out, errOut}
}

// A tail must be found from the end, whatever lies before it.
func TestTailOfHugeLog(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const hole = 1 << 40 // reading it would take minutes
	record := strings.Repeat(stampA+" stdout F "+strings.Repeat("o", 100)+"\n", 4*lookBack/100)
	text := record + stampB + " stderr P one \n" + stampB + " stderr F error\n" + record + stampC + " stdout F last\n"
	if _, err := f.WriteAt([]byte("\n"+text), hole); err != nil {
		t.Skipf("sparse file: %v", err)
	}
	for n, want := range map[int][streams]string{
		0:                  {"", ""},
		1:                  {"last\n", ""},
		2:                  {strings.Repeat("o", 100) + "\nlast\n", ""},
		4*lookBack/100 + 2: {strings.Repeat(strings.Repeat("o", 100)+"\n", 4*lookBack/100) + "last\n", "one error\n"},
	} {
		got := readStream(t, dir, n)
		equal(t, fmt.Sprintf("stdout of tail %d", n), got[stdout], want[stdout])
		equal(t, fmt.Sprintf("stderr of tail %d", n), got[stderr], want[stderr])
	}
}

func TestTailTakesALongLineWhole(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, Options{})
	write(t, w.Stream("stdout"), "first\n")
	long := strings.Repeat("x", 3*lookBack) + "\n"
	write(t, w.Stream("stdout"), long)
	equal(t, "tail 1", readStream(t, dir, 1)[stdout], long)
}

func TestSinceUntilTimestamps(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "log.1", stampA+" stdout F a\n"+stampA+" stderr P b\n"+stampB+" stdout P c\n")
	put(t, dir, "log", stampB+" stderr F b2\n"+stampC+" stdout P \n"+stampC+" stdout F c2\n"+stampC+" stderr F d\n")
	at := func(s string) ReadOptions {
		var o ReadOptions
		o.Tail = -1
		since, until, _ := strings.Cut(s, "/")
		var err error
		if since != "" {
			if o.Since, err = ParseTime(since, o.Since); err != nil {
				t.Fatal(err)
			}
		}
		if until != "" {
			if o.Until, err = ParseTime(until, o.Until); err != nil {
				t.Fatal(err)
			}
		}
		return o
	}
	for in, want := range map[string][streams]string{
		"/":                     {"a\ncc2\n", "bb2\nd\n"},
		stampA + "/":            {"a\ncc2\n", "bb2\nd\n"},
		"2026-11-22T07:00:01Z/": {"cc2\n", "d\n"},
		stampC + "/":            {"", "d\n"},
		"/" + stampB:            {"a\ncc2\n", "bb2\n"},
		"/" + stampA:            {"a\n", "bb2\n"},
		stampB + "/" + stampB:   {"cc2\n", ""},
	} {
		out, errOut := read(t, dir, at(in))
		equal(t, in+" stdout", out, want[stdout])
		equal(t, in+" stderr", errOut, want[stderr])
	}
	out, errOut := read(t, dir, ReadOptions{Tail: -1, Timestamps: true})
	equal(t, "stdout", out, stampA+" a\n"+stampB+" cc2\n")
	equal(t, "stderr", errOut, stampA+" bb2\n"+stampC+" d\n")
	// As in Docker the tail is taken first.
	o := at(stampB + "/")
	o.Tail = 1
	out, errOut = read(t, dir, o)
	equal(t, "tail since", out+errOut, "d\n")
}
