package image

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// seal makes a step's directory on the file system of the store, changes it, and reads
// it as a layer.
func seal(t *testing.T, s *Store, do func(merged string) error, lower ...string) (*Upper, *Sealed) {
	t.Helper()
	u := changed(t, do, lower...)
	l, err := Seal(context.Background(), u, u.Dir.Name(), filepath.Join(t.TempDir(), "split"))
	if err != nil {
		t.Fatal(err)
	}
	return u, l
}

// add makes a sealed directory a layer of the store.
func add(t *testing.T, s *Store, l *Sealed, parent string) string {
	t.Helper()
	staged, err := s.Adopt(l)
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.AddLayer(staged, parent)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A directory that is taken over is the layer that its archive would be: with the same
// digest, and it comes back byte for byte.
func TestSealIsWhatPackGives(t *testing.T) {
	s := open(t)
	below := below(t, "gone", "dir/gone", "opaque/old", "kept")
	u, l := seal(t, s, func(merged string) error {
		for _, do := range []error{
			os.Remove(merged + "/gone"), os.Remove(merged + "/dir/gone"), os.RemoveAll(merged + "/opaque"), os.Mkdir(merged+"/opaque", 0o750),
			os.WriteFile(merged+"/opaque/new", bytes.Repeat([]byte("large "), 100_000), 0o640), os.WriteFile(merged+"/empty", nil, 0o600),
			os.Symlink("kept", merged+"/link"), os.Link(merged+"/opaque/new", merged+"/hard"), os.Chown(merged+"/empty", 1, 2),
			os.WriteFile(merged+"/"+strings.Repeat("long", 50), []byte("x"), 0o644), unix.Mkfifo(merged+"/fifo", 0o600),
		} {
			if do != nil {
				return do
			}
		}
		return nil
	}, below)
	if _, err := u.Dir.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	if err := PackUpper(context.Background(), &packed, u, nil); err != nil {
		t.Fatal(err)
	}
	if want := digest.FromBytes(packed.Bytes()); l.DiffID != want || l.Size != int64(packed.Len()) {
		t.Fatalf("sealed as %s, %d bytes; the archive is %s, %d bytes", l.DiffID, l.Size, want, packed.Len())
	}
	top := add(t, s, l, "")
	img, err := s.Assemble(context.Background(), Parts{Top: top, Architecture: "amd64", OS: "linux", Names: []string{"sealed"}, Created: time.Unix(1, 0)})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenLayer(img, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	again, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(again, packed.Bytes()) {
		t.Errorf("%d bytes come back, %d went in: %v", len(again), packed.Len(), err)
	}
}

func TestSealOfNothing(t *testing.T) {
	_, l := seal(t, open(t), func(string) error { return nil }, below(t, "a"))
	if !l.Empty() {
		t.Error("a layer that changes nothing is not empty")
	}
}

// A layer that is held outlives the images that have it, and the store's opening.
func TestHold(t *testing.T) {
	top := t.TempDir()
	s := openAt(t, top)
	low := below(t, "a")
	layerOf := func(name, parent string) string {
		_, l := seal(t, s, func(merged string) error { return os.WriteFile(merged+"/"+name, []byte(name), 0o644) }, low)
		return add(t, s, l, parent)
	}
	one := layerOf("one", "")
	two := layerOf("two", one)
	three := layerOf("three", two)
	for range 2 { // the second time does nothing
		if err := s.Hold(two); err != nil {
			t.Fatal(err)
		}
	}
	img, err := s.Assemble(context.Background(), Parts{Top: three, Architecture: "amd64", OS: "linux", Names: []string{"x"}})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(); err != nil || len(list) != 1 {
		t.Errorf("images: %v, %v", list, err)
	}
	if _, err := s.Remove("x", RemoveOptions{InUse: nobody}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, top)
	there := func(id string) bool {
		_, ok, err := s.Layer(id)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !there(one) || !there(two) || there(three) {
		t.Errorf("there are %v %v %v of the layers, want the first two", there(one), there(two), there(three))
	}
	if list, err := s.List(); err != nil || len(list) != 0 || s.Has(img.ID) {
		t.Errorf("images: %v, %v", list, err)
	}
	if held, err := s.Held(); err != nil || !slices.Equal(held, []string{two}) {
		t.Errorf("held: %v, %v", held, err)
	}
	freed, err := s.Release(two)
	if err != nil || freed <= 0 || there(one) || there(two) {
		t.Errorf("released: %d bytes, %v; there are %v %v", freed, err, there(one), there(two))
	}
	if freed, err := s.Release(two); err != nil || freed != 0 {
		t.Errorf("released once more: %d bytes, %v", freed, err)
	}
}

// An image may have no layers at all, if that is what was described.
func TestAssembleWithoutLayers(t *testing.T) {
	s := open(t)
	p := Parts{Architecture: "arm64", OS: "linux", Names: []string{"bare"}, History: []History{{CreatedBy: "LABEL a=b", Empty: true}}, Config: Config{Labels: map[string]string{"a": "b"}}}
	img, err := s.Assemble(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Resolve("bare")
	if err != nil || found.ID != img.ID || len(found.DiffIDs) != 0 || found.Architecture != "arm64" || found.Config.Labels["a"] != "b" {
		t.Errorf("found %+v, %v", found, err)
	}
	again, err := s.Assemble(context.Background(), p)
	if err != nil || again.ID != img.ID {
		t.Errorf("the same parts make %s, before %s: %v", again.ID, img.ID, err)
	}
}
