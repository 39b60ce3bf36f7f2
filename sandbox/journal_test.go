package sandbox

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"sbx/view"
)

func everything(*view.Event) bool { return true }

func testJournal(t *testing.T) *journal {
	return newJournal(filepath.Join(t.TempDir(), journalName), slog.New(slog.DiscardHandler))
}

// recorded are the actions of what is in the files, and a feed of what follows.
func recorded(t *testing.T, j *journal) ([]string, *feed) {
	t.Helper()
	sections, feed, err := j.past(everything)
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for i := range sections {
		err := sections[i].read(func(e *view.Event) error {
			actions = append(actions, e.Action)
			return nil
		})
		if err != nil {
			t.Error(err)
		}
		sections[i].file.Close()
	}
	return actions, feed
}

// Whoever asks for the past gets each event once, while others are added.
func TestJournalIsWhole(t *testing.T) {
	j := testJournal(t)
	const most = 5000
	started := make(chan struct{})
	go func() {
		for i := range most {
			if i == most/10 {
				close(started)
			}
			j.add(happening{kind: view.ContainerEvent, action: fmt.Sprint(i)})
		}
	}()
	<-started
	done := make(chan struct{})
	var keeper sync.WaitGroup
	keeper.Go(func() { j.keep(done) })
	actions, feed := recorded(t, j)
	for len(actions) < most && feed.lost.Load() == 0 {
		e := <-feed.next
		actions = append(actions, e.Action)
	}
	for i, action := range actions {
		if action != fmt.Sprint(i) {
			t.Fatalf("event %d is %s", i, action)
		}
	}
	feed.close()
	close(done)
	keeper.Wait()
}

// The files do not grow without end, and the newest events are there.
func TestJournalRotates(t *testing.T) {
	j := testJournal(t)
	long := strings.Repeat("x", 1<<10)
	const events = 3 * journalSize >> 10
	for i := range events {
		j.add(happening{kind: view.ContainerEvent, action: fmt.Sprint(i), attributes: []string{"long", long}})
		if i%100 == 0 {
			j.flush()
		}
	}
	actions, feed := recorded(t, j)
	feed.close()
	if n := len(actions); n < journalSize>>11 || actions[n-1] != fmt.Sprint(events-1) || actions[0] != fmt.Sprint(events-n) {
		t.Errorf("%d events, from %s to %s of %d", n, actions[0], actions[n-1], events)
	}
	for _, path := range []string{j.path, j.path + ".1"} {
		if st, err := os.Stat(path); err != nil || st.Size() > journalSize || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, st, err)
		}
	}
}

// An event that is too long to be read again is left out.
func TestJournalLongEvents(t *testing.T) {
	j := testJournal(t)
	for i, length := range []int{1, longEvent, longEvent / 2} {
		j.add(happening{kind: view.ContainerEvent, action: fmt.Sprint(i), attributes: []string{"long", strings.Repeat("x", length)}})
	}
	actions, feed := recorded(t, j)
	feed.close()
	if strings.Join(actions, " ") != "0 2" {
		t.Errorf("events: %q", actions)
	}
}

// What was cut short, or is no event, is passed over, and nothing is glued to it.
func TestJournalAfterCrash(t *testing.T) {
	j := testJournal(t)
	j.add(happening{kind: view.ContainerEvent, action: "first"})
	j.flush()
	j.end()
	f, err := os.OpenFile(j.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("[]\n{}\n\x00\xff\n{\"Type\":\"container\",\"Act"); err != nil {
		t.Fatal(err)
	}
	f.Close()
	next := newJournal(j.path, j.log)
	next.add(happening{kind: view.ContainerEvent, action: "second"})
	actions, feed := recorded(t, next)
	feed.close()
	if strings.Join(actions, " ") != "first second" {
		t.Errorf("events: %q", actions)
	}
}

// One who does not read loses events, and nobody else does.
func TestJournalFeeds(t *testing.T) {
	j := testJournal(t)
	idle := j.follow(everything)
	picky := j.follow(func(e *view.Event) bool { return e.Action == "0" })
	for i := range feedRoom + 10 {
		j.add(happening{kind: view.ContainerEvent, action: fmt.Sprint(i)})
	}
	if n := idle.lost.Load(); n != 10 {
		t.Errorf("%d events were left out, want 10", n)
	}
	if n := len(picky.next); n != 1 || picky.lost.Load() != 0 {
		t.Errorf("%d events for one who wants one", n)
	}
	idle.close()
	j.add(happening{kind: view.ContainerEvent, action: "x"})
	if n := idle.lost.Load(); n != 10 {
		t.Error("a feed that is closed is still fed")
	}
}

func BenchmarkJournal(b *testing.B) {
	j := newJournal(filepath.Join(b.TempDir(), journalName), slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	defer close(done)
	go j.keep(done)
	b.ReportAllocs()
	for b.Loop() {
		j.add(happening{kind: view.ContainerEvent, action: "start", id: "x", image: "y", name: "z"})
	}
}
