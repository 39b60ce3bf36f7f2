package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"sbx/api"
)

func TestCommitShared(t *testing.T) {
	s := open(t)
	base, one, two := pack(t, tree()...), pack(t, regular("1", "x")), pack(t, regular("2", "x"))
	first := commit(t, s, "first", stage(t, s, base), stage(t, s, one))
	ids := []digest.Digest{digest.FromBytes(base), digest.FromBytes(two), digest.FromBytes(one)}
	if n := s.Chain(ids); n != 1 {
		t.Fatalf("the store has %d layers of the second image", n)
	}
	if n := s.Chain(ids[1:]); n != 0 {
		t.Errorf("%d layers without the one below", n)
	}
	n := newImage(t, "second", &Staged{DiffID: ids[0]}, stage(t, s, two), stage(t, s, one))
	n.Layers[0] = nil
	second, err := s.Commit(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	if len(second.Layers) != 3 || second.Layers[2] != first.Layers[1] || s.Chain(ids) != 3 {
		t.Errorf("layers %q and %q: want the lowest in common", first.Layers, second.Layers)
	}
	for i, a := range [][]byte{base, two, one} {
		again(t, s, second, i, a)
	}
}

// An image that is there gets the names and digests, and takes them from another.
func TestCommitAgain(t *testing.T) {
	s := open(t)
	archive := pack(t, tree()...)
	other := commit(t, s, "other", stage(t, s, pack(t, regular("a", ""))))
	n := newImage(t, "x", stage(t, s, archive))
	n.MediaType = mediaManifest
	first, err := s.Commit(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	before := len(strings.Split(inventory(t, s), "\n"))
	list := digest.FromString("list")
	n.Layers = []*Staged{stage(t, s, archive)}
	was := n
	n.Names, n.Digests, n.MediaType = []string{"localhost/other:latest", "example.com/a/b:1"}, []digest.Digest{list}, "other"
	n.Manifest = append(slices.Clone(n.Manifest), ' ')
	second, err := s.Commit(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	if second.ID != first.ID || !slices.Equal(second.Names, []string{"example.com/a/b:1", "localhost/other:latest", "localhost/x:latest"}) {
		t.Errorf("image %s with names %q", second.ID, second.Names)
	}
	for _, name := range []string{"example.com/a/b@" + list.String(), "example.com/a/b@" + digest.FromBytes(n.Manifest).String(), "other", "x"} {
		if got, err := s.Resolve(name); err != nil || got.ID != first.ID {
			t.Errorf("%s is %s, %v", name, got.ID, err)
		}
	}
	if got, err := s.Resolve(other.ID); err != nil || len(got.Names) != 0 {
		t.Errorf("the other one has names %q, %v", got.Names, err)
	}
	r, err := s.Record(first.ID)
	if err != nil || !bytes.Equal(r.Manifest, was.Manifest) || r.Digest != digest.FromBytes(was.Manifest) || r.MediaType != mediaManifest ||
		!bytes.Equal(r.Config, n.Config) || !slices.Equal(r.DiffIDs, n.DiffIDs) {
		t.Errorf("record %+v, %v", r, err)
	}
	// One more file: the second manifest.
	if after := len(strings.Split(inventory(t, s), "\n")); after != before+1 {
		t.Errorf("%d things in the store, before %d:\n%s", after, before, inventory(t, s))
	}
}

// Whatever is wrong with an image, nothing of it stays.
func TestCommitRefused(t *testing.T) {
	s := open(t)
	archive := pack(t, tree()...)
	for want, change := range map[string]func(*New){
		"removed in the meantime":    func(n *New) { n.Layers = []*Staged{n.Layers[0], nil} },
		"the configuration says":     func(n *New) { n.Layers[1].DiffID = digest.FromString("x") },
		"its configuration names 2":  func(n *New) { n.DiffIDs = n.DiffIDs[:1] },
		"no JSON object":             func(n *New) { n.Config = []byte("[]") },
		"it has no layers":           func(n *New) { n.Config, n.DiffIDs, n.Layers = []byte("{}"), nil, nil },
		"blobs for 2":                func(n *New) { n.Blobs = make([]Blob, 1) },
		"but has another digest":     func(n *New) { n.Names = []string{"localhost/app@" + digest.FromString("x").String()} },
		"images that are being made": func(n *New) { n.Names = []string{pending + "x:latest"} },
		"is no digest of a layer": func(n *New) {
			n.Config = bytes.ReplaceAll(n.Config, []byte(n.DiffIDs[0]), []byte("sha256:../../x"))
			n.DiffIDs[0] = "sha256:../../x"
		},
	} {
		t.Run(want, func(t *testing.T) {
			before := inventory(t, s)
			n := newImage(t, "bad", stage(t, s, archive), stage(t, s, pack(t, regular("a", "x"))))
			all := slices.Clone(n.Layers)
			change(&n)
			_, err := s.Commit(context.Background(), n)
			var e *api.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want %q", err, want)
			}
			for _, l := range all {
				if err := s.Discard(l); err != nil {
					t.Error(err)
				}
			}
			if after := inventory(t, s); after != before {
				t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := newImage(t, "bad", stage(t, s, archive))
	cancel()
	if _, err := s.Commit(ctx, n); err == nil || !strings.HasSuffix(err.Error(), ": stopped") {
		t.Errorf("stopped: %v", err)
	}
	if strings.Contains(inventory(t, s), "layer") {
		t.Error(inventory(t, s))
	}
}

func TestDiscard(t *testing.T) {
	s := open(t)
	before := inventory(t, s)
	l := stage(t, s, pack(t, append(tree(), regular("x", "1"), regular("x", "2"))...))
	for range 2 {
		if err := s.Discard(l); err != nil {
			t.Error(err)
		}
	}
	if after := inventory(t, s); after != before {
		t.Errorf("left behind:\n%s", after)
	}
	if _, err := s.Commit(context.Background(), newImage(t, "x", l)); err == nil {
		t.Error("a layer that was removed became an image")
	}
}

// The same image by several at once: one image, and nothing else.
func TestCommitConcurrently(t *testing.T) {
	s := open(t)
	a, b := pack(t, tree()...), pack(t, regular("b", "x"))
	var images [4]Image
	var wg sync.WaitGroup
	for i := range images {
		n := newImage(t, "x", stage(t, s, a), stage(t, s, b))
		n.Names = append(n.Names, "localhost/name:"+string(rune('0'+i)))
		wg.Go(func() {
			var err error
			if images[i], err = s.Commit(context.Background(), n); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, img := range images {
		if img.ID != images[0].ID {
			t.Errorf("images %s and %s", img.ID, images[0].ID)
		}
	}
	if got, err := s.Resolve("x"); err != nil || len(got.Names) != 5 {
		t.Errorf("names %q, %v", got.Names, err)
	}
	if got := inventory(t, s); strings.Count(got, "\nlayer ") != 2 || strings.Contains(got, "staging/") {
		t.Errorf("the store:\n%s", got)
	}
}

// An image whose layers were damaged is made again by a pull.
func TestCommitRepairs(t *testing.T) {
	top := t.TempDir()
	s := openAt(t, top)
	archive := pack(t, tree()...)
	n := newImage(t, "x", stage(t, s, archive))
	img, err := s.Commit(context.Background(), n)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.graphRoot, "overlay", img.LayerIDs[0], "link")); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, top)
	if _, err := s.Resolve("x"); err == nil {
		t.Fatal("the damage is not noticed")
	}
	n.Layers = []*Staged{stage(t, s, archive)}
	if img, err = s.Commit(context.Background(), n); err != nil {
		t.Fatal(err)
	}
	again(t, s, img, 0, archive)
}

// A file of a layer that was changed behind the store's back is not pushed on.
func TestOpenLayerChanged(t *testing.T) {
	s := open(t)
	files := append(tree(), regular("./big", strings.Repeat("x", 1<<20)))
	for name, change := range map[string]func(string) error{
		"changed": func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("y", 1<<20)), 0o644) },
		"shorter": func(p string) error { return os.Truncate(p, 1000) },
		"removed": os.Remove,
		"symlink": func(p string) error { return errors.Join(os.Remove(p), os.Symlink("/etc/passwd", p)) },
		"fifo":    func(p string) error { return errors.Join(os.Remove(p), unix.Mkfifo(p, 0o644)) },
	} {
		img := commit(t, s, name, stage(t, s, pack(t, append(files, regular(name, ""))...)))
		if err := change(filepath.Join(root(t, s, img), "big")); err != nil {
			t.Fatal(err)
		}
		r, err := s.OpenLayer(img, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, r)
		if err == nil || !strings.Contains(err.Error(), "get it again") {
			t.Errorf("%s: %v", name, err)
		}
		r.Close()
	}
	if _, err := s.OpenLayer(Image{}, 0); err == nil {
		t.Error("a layer of nothing")
	}
}

// Closing early ends what reads the layer.
func TestOpenLayerClosed(t *testing.T) {
	s := open(t)
	img := commit(t, s, "x", stage(t, s, pack(t, regular("a", strings.Repeat("x", 4<<20)))))
	before := fds(t)
	for range 10 {
		r, err := s.OpenLayer(img, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	eventually(t, func() bool { return fds(t) <= before })
}

func TestBlobs(t *testing.T) {
	s := open(t)
	archive := pack(t, tree()...)
	diffID, one, two := digest.FromBytes(archive), digest.FromString("1"), digest.FromString("2")
	if got := s.Blobs(diffID); got != nil {
		t.Errorf("blobs of nothing: %v", got)
	}
	n := newImage(t, "x", stage(t, s, archive))
	n.Blobs = []Blob{{Digest: one, Size: 10, MediaType: "gzip", Repos: []string{"a/b"}}}
	if _, err := s.Commit(context.Background(), n); err != nil {
		t.Fatal(err)
	}
	for _, b := range []Blob{{Digest: one, Size: 10, Repos: []string{"c/d", "a/b"}}, {Digest: two, Size: 20, MediaType: "zstd"}} {
		if err := s.Remember(diffID, b); err != nil {
			t.Fatal(err)
		}
	}
	got := s.Blobs(diffID)
	if len(got) != 2 || got[0].Digest != one || got[0].MediaType != "gzip" || !slices.Equal(got[0].Repos, []string{"a/b", "c/d"}) ||
		got[1].Digest != two || got[1].Size != 20 {
		t.Errorf("blobs %+v", got)
	}
	if err := s.Remember(digest.FromString("none"), n.Blobs[0]); err == nil {
		t.Error("noted for a layer that is not there")
	}
	if err := s.Remember(diffID, Blob{Digest: "x"}); err == nil {
		t.Error("noted under a bad digest")
	}
}

// What a power cut leaves between two steps of a commit goes when the store is
// opened.
func TestSweepOrphans(t *testing.T) {
	top := t.TempDir()
	s := openAt(t, top)
	commit(t, s, "x", stage(t, s, pack(t, tree()...)))
	before := inventory(t, s)
	if err := s.apply(stage(t, s, pack(t, regular("a", "x"))), "", nil); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.splitPath(digest.FromString("none").Encoded()), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stage(t, s, pack(t, regular("b", "x")))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openAt(t, top)
	if after := inventory(t, s); after != before {
		t.Errorf("left behind:\n%s\nbefore:\n%s", after, before)
	}
}

// An error of where the layer comes from is the caller's, who knows what it means.
func TestStageSourceError(t *testing.T) {
	s := open(t)
	mine := errors.New("mine")
	for _, archive := range [][]byte{pack(t, regular("a", strings.Repeat("x", 1<<20))), zip(t, "gzip", pack(t, regular("a", "x")))} {
		r := io.MultiReader(bytes.NewReader(archive[:len(archive)/2]), iotest.ErrReader(mine))
		if _, err := s.Stage(context.Background(), r, StageOptions{}); err != mine {
			t.Errorf("error %v", err)
		}
	}
	if strings.Contains(inventory(t, s), "staging/") {
		t.Error(inventory(t, s))
	}
}
