package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sbx/api"
)

// TestBoardLines: one pull, as it is seen at several moments and widths.
func TestBoardLines(t *testing.T) {
	b := board{words: wordsFor(api.VerbPull)}
	at := time.Unix(0, 0)
	report := func(id, state string, done, size int64) bool {
		return b.update(api.Step{ID: id, State: state, Done: done, Size: size}, at)
	}
	if !report("aaaaaaaaaaaa", api.StepPulling, 0, 40e6) || !report("bbbbbbbbbbbb", api.StepWaiting, 0, 0) {
		t.Error("the first report of a step is no change")
	}
	report("cccccccccccc", api.StepPresent, 0, 0)
	want := func(width int, want ...string) {
		t.Helper()
		if got := b.lines(width, 20); !slices.Equal(got, want) {
			t.Errorf("at %d columns\n got %q\nwant %q", width, got, want)
		}
	}
	want(80, "aaaaaaaaaaaa: Downloading [>                ]  0B/40.0MB",
		"bbbbbbbbbbbb: Waiting", "cccccccccccc: Already exists")
	at = at.Add(time.Second)
	if report("aaaaaaaaaaaa", api.StepPulling, 10e6, 40e6) {
		t.Error("more bytes are a change of state")
	}
	want(100, "aaaaaaaaaaaa: Downloading [========>                            ]  10.0MB/40.0MB  10.0MB/s  4s left",
		"bbbbbbbbbbbb: Waiting", "cccccccccccc: Already exists")
	want(60, "aaaaaaaaaaaa: Downloading  10.0MB/40.0MB  10.0MB/s  4s left", "bbbbbbbbbbbb: Waiting", "cccccccccccc: Already exists")
	want(20, "aaaaaaaaaaaa: Downlo", "bbbbbbbbbbbb: Waitin", "cccccccccccc: Alread")
	at = at.Add(time.Second)
	if !report("aaaaaaaaaaaa", api.StepUnpacking, 0, 0) || !report("bbbbbbbbbbbb", api.StepPulling, 5, 0) {
		t.Error("another state is no change")
	}
	want(80, "aaaaaaaaaaaa: Extracting  0B", "bbbbbbbbbbbb: Downloading  5B", "cccccccccccc: Already exists")
	report("aaaaaaaaaaaa", api.StepComplete, 0, 0)
	report("bbbbbbbbbbbb", api.StepRetrying, 0, 0)
	want(80, "aaaaaaaaaaaa: Pull complete", "bbbbbbbbbbbb: Retrying", "cccccccccccc: Already exists")
}

// TestBoardRate: the rate follows what is reported, and sinks when nothing is.
func TestBoardRate(t *testing.T) {
	var b board
	at := time.Unix(0, 0)
	for i := range 100 {
		b.update(api.Step{ID: "a", State: api.StepPulling, Done: int64(i) * 1e6, Size: 1e9}, at)
		at = at.Add(100 * time.Millisecond)
	}
	if got := b.steps[0].rate; got < 9.9e6 || got > 10.1e6 {
		t.Errorf("rate %.0f, want 10 MB/s", got)
	}
	for range 10 {
		at = at.Add(3 * time.Second)
		b.idle(at)
	}
	if got := b.steps[0].rate; got > 1e4 {
		t.Errorf("rate %.0f half a minute after the last byte", got)
	}
	// A retry begins again.
	b.update(api.Step{ID: "a", State: api.StepPulling, Done: 1, Size: 1e9}, at)
	if got := b.steps[0].rate; got != 0 {
		t.Errorf("rate %.0f of a new start", got)
	}
}

// TestBoardManySteps: what does not fit is counted, and what goes on is shown.
func TestBoardManySteps(t *testing.T) {
	b := board{words: wordsFor(api.VerbPush)}
	for i := range 70 {
		state := api.StepComplete
		switch {
		case i == 5 || i == 50:
			state = api.StepPushing
		case i > 60:
			state = api.StepWaiting
		}
		b.update(api.Step{ID: fmt.Sprintf("%012d", i), State: state}, time.Unix(0, 0))
	}
	want := []string{"000000000005: Pushing  0B", "000000000050: Pushing  0B", "000000000061: Waiting", "67 more: 59 done, 8 to do"}
	if got := b.lines(80, 4); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := b.lines(80, 70); len(got) != 70 || got[0] != "000000000000: Pushed" {
		t.Errorf("%d lines from %q", len(got), got[0])
	}
	if got := b.lines(80, 0); len(got) != 1 || got[0] != "70 more: 59 done, 11 to do" {
		t.Errorf("got %q", got)
	}
}

// TestBoardFits: no line is wider than asked for, whatever is reported.
func TestBoardFits(t *testing.T) {
	b := board{words: wordsFor(api.VerbPull)}
	at := time.Unix(0, 0)
	for _, size := range []int64{-5, 0, 1, 1e3, 1e12, 1<<63 - 1} {
		for _, done := range []int64{-5, 0, 1, 1e6, 1<<63 - 1} {
			at = at.Add(time.Second)
			b.update(api.Step{ID: "a\x1b[31m", State: api.StepPulling, Done: done, Size: size}, at)
			for width := range 200 {
				if line := b.lines(width, 10)[0]; len(line) > width || strings.ContainsRune(line, '\x1b') {
					t.Fatalf("%d of %d bytes at width %d: %q", done, size, width, line)
				}
			}
		}
	}
}

func TestHumanSizeAndTime(t *testing.T) {
	for n, want := range map[float64]string{0: "0B", 999: "999B", 999.6: "1.00kB", 1234: "1.23kB", 9999: "10.0kB",
		99960: "100kB", 12.3e6: "12.3MB", 270e6: "270MB", 1.5e9: "1.50GB", 2e18: "2000PB"} {
		if got := humanSize(n); got != want {
			t.Errorf("humanSize(%g) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[float64]string{0.1: "1s", 58.9: "59s", 59.5: "1m00s", 80: "1m21s", 3599.5: "1h00m", 1e18: "99h00m"} {
		if got := humanTime(n); got != want {
			t.Errorf("humanTime(%g) = %q, want %q", n, got, want)
		}
	}
}
