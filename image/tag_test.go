package image

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestTag(t *testing.T) {
	s := open(t)
	one := load(t, s, "one", pack(t, tree()...))
	two := load(t, s, "two", pack(t, regular("./x", "y")))
	before := time.Now()
	for _, do := range [][2]string{
		{"one", "reg.example.com:5000/a/b:c"}, {one.ID[:12], "short"}, {"one@" + one.Digest, "localhost/l"},
		{"short", "two"}, // which two loses
		{"one", "one"},   // it has it already
	} {
		if err := s.Tag(do[0], do[1]); err != nil {
			t.Errorf("%s %s: %v", do[0], do[1], err)
		}
		if img, err := s.Resolve(do[1]); err != nil || img.ID != one.ID || img.Tagged.Before(before.Add(-time.Second)) {
			t.Errorf("%s is %v %v, %v", do[1], img.Names, img.Tagged, err)
		}
	}
	if img, err := s.Resolve(two.ID); err != nil || len(img.Names) != 0 || !img.Tagged.IsZero() {
		t.Errorf("two: %v, %v", img.Names, err)
	}
	want := []string{"docker.io/library/one:latest", "docker.io/library/short:latest", "docker.io/library/two:latest",
		"localhost/l:latest", "reg.example.com:5000/a/b:c"}
	s.index.Store(nil) // what is on the disk
	if img, err := s.Resolve("one"); err != nil || !slices.Equal(img.Names, want) || !slices.Equal(img.Tags(), want) {
		t.Errorf("%v, %v", img.Names, err)
	}
	for _, bad := range [][2]string{
		{"none", "x"}, {"one", "host"}, {"one", "X"}, {"one", ""}, {"one", "a@sha256:" + strings.Repeat("1", 64)}, {"one", pending + "x"},
	} {
		if err := s.Tag(bad[0], bad[1]); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

// What other programs keep in the record of an image stays.
func TestMetadataUpdate(t *testing.T) {
	m := readMetadata(`{"sbx-digests":["` + listDigest.String() + `"],"signature-sizes":[1,2]}`)
	m.Tagged = time.Unix(1, 0).UTC()
	text, err := m.update(`{"signature-sizes":[1,2],"x":{"y":null}}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"signature-sizes":[1,2]`, `"x":{"y":null}`, `"sbx-tagged":"1970-01-01T00:00:01Z"`, listDigest.String()} {
		if !strings.Contains(text, part) {
			t.Errorf("%s is not in %s", part, text)
		}
	}
	if m := readMetadata("no json"); !m.Tagged.IsZero() {
		t.Error(m)
	}
}

// After a push, only the digest that the registry gave is shown.
func TestNoteDigest(t *testing.T) {
	s := open(t)
	img := compose(t, s, document{}, []string{"x.io/a:1", "localhost/b:1"}, layer(t, "a", 1))
	pushed := digest.FromString("as compressed")
	for range 2 {
		if err := errors.Join(s.NoteDigest(img.ID, "x.io/a", pushed), s.NoteDigest(img.ID, "x.io/c", pushed)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"localhost/b@" + listDigest.String(), "localhost/b@" + img.Digest, "x.io/a@" + pushed.String()}
	slices.Sort(want)
	for _, name := range []string{"x.io/a@" + pushed.String(), "x.io/a@" + img.Digest, "b:1"} {
		if got, err := s.Resolve(name); err != nil || got.ID != img.ID || !slices.Equal(got.RepoDigests, want) {
			t.Errorf("%s: %v, %v; want %v", name, got.RepoDigests, err, want)
		}
	}
	if got, err := s.Resolve("x.io/c@" + pushed.String()); err == nil {
		t.Errorf("a repository without a tag: %v", got.Names)
	}
	if err := s.NoteDigest(img.ID, "x.io/a", "sha256:bad"); err == nil {
		t.Error("a bad digest was taken")
	}
	if err := s.NoteDigest(strings.Repeat("0", 64), "x.io/a", pushed); !errors.Is(err, ErrUnknown) {
		t.Errorf("no image: %v", err)
	}
}

// An image is found by the digest of its manifest, and of a list it was chosen
// from, in each of its repositories.
func TestResolveDigests(t *testing.T) {
	s := open(t)
	img := compose(t, s, document{}, []string{"docker.io/ann/app:1", "localhost/mine", "x.io/y@" + listDigest.String()}, layer(t, "a", 1))
	want := []string{
		"docker.io/ann/app@" + listDigest.String(), "docker.io/ann/app@" + img.Digest,
		"localhost/mine@" + listDigest.String(), "localhost/mine@" + img.Digest, "x.io/y@" + listDigest.String(),
	}
	slices.Sort(want)
	s.index.Store(nil)
	for _, name := range append(want, "mine@"+img.Digest, "ann/app:other@"+listDigest.String()) {
		if got, err := s.Resolve(name); err != nil || got.ID != img.ID || !slices.Equal(got.RepoDigests, want) {
			t.Errorf("%s: %v, %v", name, got.RepoDigests, err)
		}
	}
	for _, name := range []string{"x.io/y@" + img.Digest, "x.io/y", "other@" + img.Digest, "docker.io/mine@" + img.Digest} {
		if got, err := s.Resolve(name); err == nil {
			t.Errorf("%s is %v", name, got.Names)
		}
	}
	if !slices.Equal(img.Tags(), []string{"docker.io/ann/app:1", "localhost/mine:latest"}) {
		t.Error(img.Tags())
	}
}
