package image

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"sbx/api"
)

// compose records an image of several layers, as a pull does. It has a history
// with a step that made no layer.
func compose(t testing.TB, s *Store, doc document, names []string, layers ...[]byte) Image {
	t.Helper()
	n := New{MediaType: mediaManifest}
	for i, archive := range layers {
		l, err := s.Stage(context.Background(), bytes.NewReader(archive), StageOptions{Source: "layer"})
		if err != nil {
			t.Fatal(err)
		}
		n.Layers, n.DiffIDs = append(n.Layers, l), append(n.DiffIDs, l.DiffID)
		doc.History = append(doc.History, History{CreatedBy: fmt.Sprint("step ", i)}, History{CreatedBy: "nothing", Empty: true})
	}
	doc.RootFS = rootFS{Type: "layers", DiffIDs: n.DiffIDs}
	var err error
	if n.Config, err = json.Marshal(doc); err != nil {
		t.Fatal(err)
	}
	n.Manifest = fmt.Appendf(nil, `{"schemaVersion":2,"config":{"digest":%q}}`, digest.FromBytes(n.Config))
	n.Digests = []digest.Digest{listDigest}
	for _, name := range names {
		full, err := normalise(name)
		if err != nil {
			t.Fatal(err)
		}
		n.Names = append(n.Names, full.String())
	}
	img, err := s.Commit(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

const listDigest = digest.Digest("sha256:1111111111111111111111111111111111111111111111111111111111111111")

// layer is an archive with one file.
func layer(t testing.TB, name string, size int) []byte {
	return pack(t, dir("./"), regular("./"+name, strings.Repeat("x", size)))
}

// users makes an InUse of a table: a sandbox whose name begins with R runs.
func users(table map[string]string) func(string) ([]string, bool) {
	return func(id string) ([]string, bool) {
		name := table[id]
		if name == "" {
			return nil, false
		}
		return []string{name}, name[0] == 'R'
	}
}

func nobody(string) ([]string, bool) { return nil, false }

// printed is what rmi prints, ids as "image" and "layer".
func printed(list []Removed, img Image) string {
	var words []string
	for _, r := range list {
		switch {
		case r.Untagged != "":
			words = append(words, strings.ReplaceAll(strings.ReplaceAll(r.Untagged, img.Digest, "SELF"), listDigest.String(), "LIST"))
		case r.Deleted == "sha256:"+img.ID:
			words = append(words, "image")
		default:
			words = append(words, "layer")
		}
	}
	return strings.Join(words, " ")
}

func TestRemoveRules(t *testing.T) {
	type step struct {
		name  string // {ID}: the image's id
		force bool
		user  string
		want  string // what is printed, or "!" and a part of the error
	}
	const both = "tool@LIST tool@SELF"
	for title, c := range map[string]struct {
		names []string
		steps []step
	}{
		"one tag":                {[]string{"tool:1"}, []step{{name: "tool:1", want: "tool:1 " + both + " image layer layer"}}},
		"id with one tag":        {[]string{"tool:1"}, []step{{name: "{ID}", want: "tool:1 " + both + " image layer layer"}}},
		"tag after tag":          {[]string{"tool:1", "tool:2"}, []step{{name: "tool:1", want: "tool:1"}, {name: "tool:2", want: "tool:2 " + both + " image layer layer"}}},
		"two repositories":       {[]string{"tool:1", "x.io/y:1"}, []step{{name: "tool:1", want: "tool:1 " + both}, {name: "{ID}", want: "x.io/y:1 x.io/y@LIST x.io/y@SELF image layer layer"}}},
		"id of two tags":         {[]string{"tool:1", "tool:2"}, []step{{name: "{ID}", want: "!several tags: tool:1, tool:2"}, {name: "{ID}", force: true, want: "tool:1 tool:2 " + both + " image layer layer"}}},
		"id of two repositories": {[]string{"tool:1", "x.io/y:1"}, []step{{name: "{ID}", want: "!more than one repository"}}},
		"no name":                {nil, []step{{name: "{ID}", want: "image layer layer"}}},
		"by digest":              {[]string{"tool@" + listDigest.String()}, []step{{name: "tool@" + listDigest.String(), want: "tool@LIST image layer layer"}}},
		"digest of one tag": {[]string{"tool:1"}, []step{
			{name: "tool@" + listDigest.String(), want: "!has the name tool:1 too"},
			{name: "tool@" + listDigest.String(), force: true, want: "tool:1 " + both + " image layer layer"},
		}},
		"tag and its digest": {[]string{"tool:1", "tool@" + listDigest.String()}, []step{
			{name: "tool@" + listDigest.String(), want: "tool@LIST"}, {name: "tool:1", want: "tool:1 " + both + " image layer layer"},
		}},
		"tag beside its digest": {[]string{"tool:1", "tool@" + listDigest.String()}, []step{{name: "tool:1", want: "tool:1 tool@LIST image layer layer"}}},
		"two tags and a digest": {[]string{"tool:1", "tool:2", "tool@" + listDigest.String()}, []step{{name: "tool:1", want: "tool:1"}}},
		"digest beside tags":    {[]string{"tool:1", "tool:2"}, []step{{name: "tool@" + listDigest.String(), want: "!has the name tool:1 too"}}},
		"running":               {[]string{"tool:1"}, []step{{name: "tool:1", user: "Run", want: "!sandbox Run uses it and is running"}, {name: "tool:1", force: true, user: "Run", want: "!is running"}, {name: "{ID}", force: true, user: "Run", want: "!is running"}}},
		"running with two tags": {[]string{"tool:1", "tool:2"}, []step{{name: "tool:1", user: "Run", want: "tool:1"}}},
		"stopped":               {[]string{"tool:1"}, []step{{name: "tool:1", user: "old", want: "!stopped sandbox old"}, {name: "{ID}", user: "old", want: "!stopped sandbox old"}, {name: "tool:1", force: true, user: "old", want: "tool:1 " + both}, {name: "{ID}", force: true, user: "old", want: "!sandbox old uses it"}, {name: "{ID}", want: "image layer layer"}}},
		"stopped by id":         {[]string{"tool:1", "x.io/y:1"}, []step{{name: "{ID}", force: true, user: "old", want: "tool:1 x.io/y:1 " + both + " x.io/y@LIST x.io/y@SELF"}}},
	} {
		t.Run(title, func(t *testing.T) {
			s := open(t)
			empty := inventory(t, s)
			img := compose(t, s, document{}, c.names, layer(t, "a", 1), layer(t, "b", 1))
			gone := false
			for _, do := range c.steps {
				before := inventory(t, s)
				name := strings.ReplaceAll(do.name, "{ID}", img.ID[:12])
				removed, err := s.Remove(name, RemoveOptions{Force: do.force, InUse: users(map[string]string{img.ID: do.user})})
				part, fails := strings.CutPrefix(do.want, "!")
				if fails {
					var e *api.Error
					if !errors.As(err, &e) || !strings.Contains(err.Error(), part) || !strings.Contains(err.Error(), "conflict") || e.ExitCode() != 1 || e.Hint == "" {
						t.Errorf("rmi %s: %v; want %q", do.name, err, part)
					}
					if after := inventory(t, s); after != before {
						t.Errorf("rmi %s was refused and has changed\n%s\nto\n%s", do.name, before, after)
					}
					continue
				}
				if got := printed(removed, img); got != do.want || err != nil {
					t.Errorf("rmi %s: %q, %v; want %q", do.name, got, err, do.want)
				}
				gone = strings.Contains(do.want, "image")
			}
			if _, err := s.Resolve(img.ID); gone != errors.Is(err, ErrUnknown) {
				t.Errorf("gone %v: %v", gone, err)
			}
			if after := inventory(t, s); gone && after != empty {
				t.Errorf("left behind:\n%s\nbefore:\n%s", after, empty)
			}
		})
	}
}

// Layers that another image has stay, and so does that image; what goes is named
// as Docker names it.
func TestRemoveSharedLayers(t *testing.T) {
	s := open(t)
	base, a, b := layer(t, "base", 1), layer(t, "a", 1), layer(t, "b", 1)
	one := compose(t, s, document{}, []string{"one"}, base, a)
	two := compose(t, s, document{}, []string{"two"}, base, b)
	removed, err := s.Remove("one", RemoveOptions{InUse: nobody})
	if got := printed(removed, one); got != "one:latest one@LIST one@SELF image layer" && got != "one:latest one@SELF one@LIST image layer" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	want := digest.FromString(one.DiffIDs[0].String() + " " + one.DiffIDs[1].String()).String()
	if got := removed[len(removed)-1].Deleted; got != want {
		t.Errorf("layer %s, want the chain id %s", got, want)
	}
	img, err := s.Resolve("two")
	if err != nil || !slices.Equal(img.Layers, two.Layers) {
		t.Fatalf("%v, %v", img, err)
	}
	for _, id := range img.LayerIDs {
		if _, err := os.Stat(s.layerDir(id)); err != nil {
			t.Error(err)
		}
	}
}

// Files of subordinate ids, in directories that nobody may enter, go as well.
func TestRemoveForeignFiles(t *testing.T) {
	s := open(t)
	img := load(t, s, "x", pack(t, dir("./"), file{name: "./locked", typ: '5', mode: 0, uid: 1000},
		file{name: "./locked/in", body: "x", mode: 0, uid: 1001}))
	path := filepath.Dir(root(t, s, img))
	if _, err := s.Remove("x", RemoveOptions{InUse: nobody}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: %v", path, err)
	}
}

// A damaged image can be removed by name and by id.
func TestRemoveBroken(t *testing.T) {
	s := open(t)
	for i, how := range []string{"bad", "id"} {
		record, err := s.store.CreateImage("", []string{"localhost/bad:latest"}, "", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		s.index.Store(nil)
		if how == "id" {
			how = record.ID
		}
		removed, err := s.Remove(how, RemoveOptions{InUse: nobody})
		if err != nil || removed[len(removed)-1].Deleted != "sha256:"+record.ID {
			t.Errorf("%d: %v, %v", i, removed, err)
		}
	}
}

// Somebody who starts to use an image while it is being removed either keeps it, or
// is told that it has gone.
func TestRemoveRace(t *testing.T) {
	s := open(t)
	img := compose(t, s, document{}, []string{"x"}, layer(t, "a", 1))
	asked := 0
	late := func(string) ([]string, bool) {
		asked++
		if asked == 1 {
			return nil, false
		}
		if s.Has(img.ID) {
			t.Error("while it is asked for the last time, the image can still be found")
		}
		return []string{"late"}, false
	}
	if _, err := s.Remove("x", RemoveOptions{InUse: late}); err == nil || !strings.Contains(err.Error(), "late has just been made") {
		t.Errorf("%v", err)
	}
	if again, err := s.Resolve("x"); err != nil || again.ID != img.ID || !s.Has(img.ID) {
		t.Errorf("%v, %v", again, err)
	}
	if len(s.removing) != 0 {
		t.Error(slices.Collect(maps.Keys(s.removing)))
	}
}

func TestRemoveUnknown(t *testing.T) {
	s := open(t)
	for _, name := range []string{"none", "0123456789ab", "none@" + listDigest.String()} {
		if _, err := s.Remove(name, RemoveOptions{InUse: nobody}); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Remove("A\x1b", RemoveOptions{InUse: nobody}); err == nil || strings.Contains(err.Error(), "\x1b") {
		t.Errorf("%v", err)
	}
}
