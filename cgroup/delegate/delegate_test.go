package delegate

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"sbx/cgroup"
	"sbx/tests/promised"
)

// homeOf is a home of this machine, or the test is skipped.
func homeOf(t *testing.T, run string) (a answer, end func()) {
	t.Helper()
	a, end = play(t, "obtain", run)
	if !a.Home.Exists() {
		promised.OrSkip(t, "cgroup", a.Home.Why)
	}
	return a, end
}

// Whatever there is here, the answer is a home or a reason.
func TestObtainHasAnAnswer(t *testing.T) {
	run := t.TempDir()
	a, _ := play(t, "obtain", run)
	h := a.Home
	t.Logf("%+v", h)
	if h.Exists() == (h.Driver == cgroup.None) || h.Exists() == (h.Why != "") {
		t.Errorf("%+v", h)
	}
	if h.Exists() && a.Own != filepath.Join(h.Path, cgroup.Leaf) {
		t.Errorf("it is in %s", a.Own)
	}
	for _, c := range cgroup.Wanted {
		missing, is := h.Missing[c]
		if h.Exists() && (h.Lacks("", c) == nil) == is || is && missing.Why == "" {
			t.Errorf("%s: %+v", c, h)
		}
	}
	if recorded, err := cgroup.ReadHome(run); err != nil || !reflect.DeepEqual(recorded, h) {
		t.Errorf("recorded: %+v, %v", recorded, err)
	}
}

// A group of a home is made, and what is in it gets its controllers.
func TestHomeCanBeDivided(t *testing.T) {
	a, _ := homeOf(t, t.TempDir())
	g, err := a.Home.Make("", "0123456789ab")
	if err != nil {
		t.Fatal(err)
	}
	list, err := words(g.Path, "cgroup.controllers")
	slices.Sort(list) // as Wanted is
	if err != nil || !slices.Equal(list, a.Home.Controllers) {
		t.Errorf("%v, %v; want %v", list, err, a.Home.Controllers)
	}
	if err := g.Remove(); err != nil {
		t.Error(err)
	}
}

func TestRejoinFindsTheSurvivors(t *testing.T) {
	run := t.TempDir()
	first, endFirst := homeOf(t, run)
	second, endSecond := play(t, "rejoin", run)
	if !reflect.DeepEqual(second, first) {
		t.Errorf("second: %+v; first: %+v", second, first)
	}
	endFirst()
	third, endThird := play(t, "rejoin", run)
	if third.Home.Path != first.Home.Path || third.Own != first.Own {
		t.Errorf("third: %+v; first: %+v", third, first)
	}
	endSecond()
	endThird()
	if first.Home.Driver == cgroup.Writable {
		return // it is there for ever
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(first.Home.Path); err != nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the scope has nothing in it, and is still there")
		}
	}
	fourth, _ := play(t, "rejoin", run)
	if !fourth.Home.Exists() || fourth.Home.Path == first.Home.Path || !strings.Contains(fourth.Home.Apart, "no such file") {
		t.Errorf("fourth: %+v", fourth.Home)
	}
}

func TestRejoinWithoutARecordObtains(t *testing.T) {
	homeOf(t, t.TempDir())
	run := t.TempDir()
	if a, _ := play(t, "rejoin", run); !a.Home.Exists() {
		t.Errorf("%+v", a.Home)
	}
	if err := os.WriteFile(filepath.Join(run, "cgroup.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a, _ := play(t, "rejoin", run); !a.Home.Exists() {
		t.Errorf("%+v", a.Home)
	}
}
