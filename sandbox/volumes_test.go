package sandbox

import (
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"

	"sbx/api"
	"sbx/internal/dirs"
)

func volumeSupervisor(t *testing.T) *Supervisor {
	t.Helper()
	s := &Supervisor{
		Options: Options{Dirs: dirs.Dirs{Data: t.TempDir()}, Log: slog.New(slog.DiscardHandler)},
		boxes:   map[string]*box{}, names: map[string]*box{},
	}
	s.journal = newJournal(s.Dirs.Data+"/events.json", s.Log)
	other := api.Config{ID: strings.Repeat("0", 64), Spec: api.Spec{Name: "other", Image: api.HostImage, Mounts: []api.Mount{
		{Type: "volume", Source: "db", Target: "/db"}, {Type: "volume", Source: "anonymous1", Target: "/cache", Volume: api.VolumeWish{Anonymous: true}},
		{Type: "bind", Source: "/srv", Target: "/srv/", ReadOnly: true}, {Type: "tmpfs", Target: "/scratch"},
	}}}
	b := newBox(other, s.Dirs.Data+"/sandboxes/"+other.ID)
	s.boxes[other.ID], s.names["other"] = b, b
	return s
}

// What comes from where: what is given for the sandbox counts before what another one
// has, and that before what the image declares.
func TestCompleteVolumes(t *testing.T) {
	s := volumeSupervisor(t)
	for _, test := range []struct {
		given    []api.Mount
		from     []string
		declared []string
		want     []string // target, type, source ("?": a new name), ro
	}{
		{nil, nil, nil, nil},
		{[]api.Mount{{Type: "volume", Target: "/a"}}, nil, []string{"/b", "a/", "/x/../c"}, []string{"/a volume ?", "/b volume ?", "/c volume ?"}},
		{[]api.Mount{{Type: "tmpfs", Target: "/b"}}, nil, []string{"/b"}, []string{"/b tmpfs "}},
		{nil, []string{"other"}, []string{"/db", "/new"}, []string{"/db volume db", "/cache volume anonymous1", "/srv/ bind /srv ro", "/new volume ?"}},
		{[]api.Mount{{Type: "bind", Source: "/mine", Target: "/srv"}}, []string{"other:ro"}, nil, []string{"/srv bind /mine", "/db volume db ro", "/cache volume anonymous1 ro"}},
		{nil, []string{"other:ro", "other"}, nil, []string{"/db volume db", "/cache volume anonymous1", "/srv/ bind /srv ro"}},
	} {
		c := api.Config{Spec: api.Spec{Image: "img", Mounts: test.given, VolumesFrom: test.from}}
		declared := map[string]struct{}{}
		for _, d := range test.declared {
			declared[d] = struct{}{}
		}
		if err := s.completeVolumes(&c, declared); err != nil {
			t.Errorf("%+v: %v", test, err)
			continue
		}
		var got []string
		for _, m := range c.Mounts {
			source := m.Source
			if m.Type == "volume" && isID(source) {
				source = "?"
				if !m.Volume.Anonymous {
					t.Errorf("%+v is not anonymous", m)
				}
			}
			line := m.Target + " " + m.Type + " " + source
			if m.ReadOnly {
				line += " ro"
			}
			got = append(got, line)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%+v, %q, %q:\n got %q\nwant %q", test.given, test.from, test.declared, got, test.want)
		}
	}
	for declared, want := range map[string]string{"/": "root directory", "/..": "root directory"} {
		c := api.Config{Spec: api.Spec{Image: "img"}}
		if err := s.completeVolumes(&c, map[string]struct{}{declared: {}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("VOLUME %s: %v", declared, err)
		}
	}
	c := api.Config{Spec: api.Spec{VolumesFrom: []string{"none"}}}
	if err := s.completeVolumes(&c, nil); err == nil || api.Wrap("", "", err).ExitCode() != api.ExitFault {
		t.Errorf("--volumes-from none: %v", err)
	}
}

// Anonymous volumes go with their sandbox, named ones and those of others do not.
func TestDropVolumes(t *testing.T) {
	s := volumeSupervisor(t)
	store, err := s.volumeStore()
	if err != nil {
		t.Fatal(err)
	}
	other := s.names["other"]
	b := newBox(api.Config{ID: strings.Repeat("1", 64), Spec: api.Spec{Image: api.HostImage, Mounts: append([]api.Mount{
		{Type: "volume", Source: "own-anonymous", Target: "/a", Volume: api.VolumeWish{Anonymous: true}}}, other.config.Mounts...)}}, "")
	for _, c := range []*api.Config{&other.config, &b.config} {
		if err := s.readyVolumes(c, nil); err != nil {
			t.Fatal(err)
		}
	}
	names := func() (list []string) {
		for _, v := range store.List() {
			list = append(list, v.Name)
		}
		return list
	}
	s.dropVolumes(b) // it is not removed
	if got, want := names(), []string{"anonymous1", "db", "own-anonymous"}; !reflect.DeepEqual(got, want) {
		t.Errorf("at first: %q", got)
	}
	b.removed, b.withVolumes = true, true
	s.dropVolumes(b)
	if got, want := names(), []string{"anonymous1", "db"}; !reflect.DeepEqual(got, want) {
		t.Errorf("after the first: %q", got)
	}
	other.withVolumes = true
	s.unlist(other)
	s.dropVolumes(other)
	if got, want := names(), []string{"db"}; !reflect.DeepEqual(got, want) {
		t.Errorf("after the last: %q", got)
	}
}
