package sandbox

import (
	"strings"
	"testing"
	"time"

	"sbx/api"
	"sbx/image"
	"sbx/image/transfer"
)

func TestPulledText(t *testing.T) {
	one := transfer.Pulled{Image: image.Image{ID: "feed"}, Name: "docker.io/library/debian:13", Digest: "sha256:abc", Fresh: true}
	two := one
	two.Name, two.Fresh, two.Digest = "x.io/y:1", false, ""
	all := two
	all.All = []transfer.Pulled{one, two}
	const first = "Digest: sha256:abc\nStatus: Downloaded newer image for debian:13\ndocker.io/library/debian:13\n"
	const second = "Status: Image is up to date for x.io/y:1\nx.io/y:1\n"
	for _, c := range []struct {
		got   transfer.Pulled
		quiet bool
		want  string
	}{
		{one, false, first}, {two, false, second}, {all, false, first + second},
		{one, true, "sha256:feed\n"}, {all, true, "sha256:feed\nsha256:feed\n"},
	} {
		if text := pulled(c.got, c.quiet); text != c.want {
			t.Errorf("%q, want %q", text, c.want)
		}
	}
}

func TestRemovedLines(t *testing.T) {
	list := []image.Removed{{Untagged: "debian:13"}, {Untagged: "a\x1b[2Jb"}, {Deleted: "sha256:1"}}
	want := "Untagged: debian:13\nUntagged: a\\x1b[2Jb\nDeleted: sha256:1\n"
	if got := removedLines(list, "Untagged: ", "Deleted: "); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPruneFilter(t *testing.T) {
	var o image.PruneOptions
	for _, f := range []string{"until=24h", "label=a", "label=b=c", "label!=d", "dangling=false"} {
		if err := pruneFilter(&o, f); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
	if age := time.Since(o.Until); age < 24*time.Hour || age > 25*time.Hour {
		t.Errorf("until %v", o.Until)
	}
	if !o.All || strings.Join(o.Labels, " ") != "a b=c" || strings.Join(o.Not, " ") != "d" {
		t.Errorf("%+v", o)
	}
	for f, want := range map[string]string{
		"until=12h": "more than one", "until": "expected name=value", "colour=red": "filters are", "dangling=perhaps": "filters are",
	} {
		if err := pruneFilter(&o, f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", f, err, want)
		}
	}
	if err := pruneFilter(&image.PruneOptions{}, "until=never\x1b"); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%v", err)
	}
}

// What is soon done is not reported; what takes long is, not too often, and its end.
func TestPace(t *testing.T) {
	var states []string
	p := pace{tell: func(r api.Progress) { states = append(states, r.Steps[0].State) }, next: time.Now().Add(time.Hour)}
	p.at(1)
	p.complete()
	if len(states) != 0 {
		t.Errorf("%q", states)
	}
	p.next = time.Now().Add(-time.Second)
	for i := range 1000 {
		p.at(int64(i))
	}
	p.complete()
	if got := strings.Join(states, " "); got != api.StepPushing+" "+api.StepComplete {
		t.Errorf("%q", got)
	}
}

// A sandbox that is starting, and has no program yet, counts as running.
func TestUsers(t *testing.T) {
	s := &Supervisor{boxes: map[string]*box{}}
	add := func(id, name, image string, l *link) {
		s.boxes[id] = &box{config: api.Config{ID: id, ImageID: image, Spec: api.Spec{Name: name}}, link: l}
	}
	add("1", "zoe", "A", nil)
	add("2", "ann", "A", nil)
	add("3", "bob", "B", &link{})
	for id, want := range map[string]string{"A": "ann zoe", "B": "bob RUNNING", "C": ""} {
		names, running := s.users(id)
		if running {
			names = append(names, "RUNNING")
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %q, want %q", id, got, want)
		}
	}
}
