package image

import (
	"archive/tar"
	"bytes"
	"context"
	"hash/crc64"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// Any bytes are refused, and nothing is left of them, or they are a layer, and come
// back from the unpacked files as they were.
func FuzzLayer(f *testing.F) {
	for _, files := range [][]file{
		tree(),
		{regular("a", "1"), regular("a", "22"), dir("a"), regular("a/b", "3"), symlink("a", "."), regular("a/c", "4")},
		{dir("d"), regular(".wh.d", ""), regular("d/.wh..wh..opq", "x"), hardlink("h", "d/f")},
		{{name: "x", typ: tar.TypeChar, mode: 0o600}, {name: "p", typ: tar.TypeFifo, mode: 0o600, uid: 3}},
		{{name: "x", mode: 0o644, body: "x", xattr: map[string]string{"user.a": "b", "security.capability": "x"}}},
	} {
		f.Add(pack(f, files...))
	}
	f.Add(oldSparse(f))
	f.Add(paxSparse(f, "tail"))
	f.Add(append(pack(f, regular("a", strings.Repeat("z", 600))), make([]byte, 5000)...))
	f.Add([]byte(nil))
	f.Add(make([]byte, 512))
	s := open(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		if compression(data) != "" || len(data) > 1<<20 {
			t.Skip()
		}
		l, err := s.Stage(context.Background(), bytes.NewReader(data), StageOptions{Source: "fuzz"})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") {
				t.Errorf("error %q", err)
			}
		} else {
			if l.DiffID != digest.FromBytes(data) {
				t.Errorf("digest %s", l.DiffID)
			}
			img := commit(t, s, "fuzz", l)
			again(t, s, img, 0, data)
			if _, err := s.store.DeleteImage(img.ID, true); err != nil {
				t.Fatal(err)
			}
		}
		if got := inventory(t, s); strings.Contains(got, "layer ") || strings.Contains(got, "staging/") {
			t.Errorf("left behind:\n%s", got)
		}
	})
}

// oldSparse is an archive with one file of 1 MiB in GNU's old sparse format: data at
// its end only.
func oldSparse(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := tarHeader(regular("sparse", ""))
	h.Format, h.Size = tar.FormatGNU, 512
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, strings.Repeat("s", 512)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	raw := b.Bytes()
	raw[156] = 'S'
	copy(raw[386:], "00003777000\x0000000001000\x00") // offset and length of the data
	copy(raw[483:], "00004000000\x00")                // size with the holes
	copy(raw[148:156], "        ")
	sum := 0
	for _, c := range raw[:512] {
		sum += int(c)
	}
	copy(raw[148:], []byte{byte('0' + sum>>15&7), byte('0' + sum>>12&7), byte('0' + sum>>9&7), byte('0' + sum>>6&7), byte('0' + sum>>3&7), byte('0' + sum&7), 0, ' '})
	return raw
}

// paxSparse is the same in PAX format 1.0, with text as the data.
func paxSparse(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	sparse := "1\n1048064\n512\n"
	body := sparse + strings.Repeat("\x00", 512-len(sparse)) + text + strings.Repeat("p", 512-len(text))
	h := tarHeader(regular("GNUSparseFile.0/sparse", body))
	h.PAXRecords = map[string]string{"XXX.sparse.major": "1", "XXX.sparse.minor": "0", "XXX.sparse.name": "sparse", "XXX.sparse.realsize": "1048576"}
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("XXX.sparse."), []byte("GNU.sparse."))
}

func TestChecksum(t *testing.T) {
	data := make([]byte, 4096)
	r := rand.NewChaCha8([32]byte{1})
	if _, err := r.Read(data); err != nil {
		t.Fatal(err)
	}
	for n := range 300 {
		if got, want := crc(uint64(n), data[:n]), crc64.Update(uint64(n), crcTable, data[:n]); got != want {
			t.Fatalf("%d bytes: %x, want %x", n, got, want)
		}
	}
	var got, want uint64
	for cut := range 1000 {
		part := data[cut : 4096-cut]
		got, want = crc(got, part), crc64.Update(want, crcTable, part)
	}
	if got != want {
		t.Errorf("%x, want %x", got, want)
	}
}

// Random archives of few names, so that entries meet: what is accepted comes back
// byte for byte, and nothing outside of the layer changes.
func TestLayerRandom(t *testing.T) {
	runs := 400
	if os.Getenv("SBX_TEST_LONG") != "" {
		runs = 20_000
	}
	s := small(t, "size=64m")
	outside := filepath.Join(filepath.Dir(s.graphRoot), "outside")
	if err := os.WriteFile(outside, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := inventory(t, s)
	accepted := 0
	for seed := range runs {
		files := randomFiles(rand.New(rand.NewPCG(uint64(seed), 0)), outside)
		archive := pack(t, files...)
		l, err := s.Stage(context.Background(), bytes.NewReader(archive), StageOptions{Source: "random"})
		if err == nil {
			accepted++
			img := commit(t, s, "random", l)
			again(t, s, img, 0, archive)
			if _, err := s.store.DeleteImage(img.ID, true); err != nil {
				t.Fatal(err)
			}
		}
		if got := inventory(t, s); got != empty {
			t.Errorf("left behind:\n%s", got)
		}
		if got, err := os.ReadFile(outside); err != nil || string(got) != "mine" {
			t.Errorf("outside: %q, %v", got, err)
		}
		if t.Failed() {
			t.Fatalf("seed %d, %v: %+v", seed, err, files)
		}
	}
	if accepted < runs/4 {
		t.Errorf("%d of %d were accepted: this tests little", accepted, runs)
	}
}

func randomFiles(r *rand.Rand, outside string) []file {
	parts := []string{"a", "b", "c", "l", ".wh.a", ".wh.b", ".wh..wh..opq", ".", "..", ""}
	weights := []int{20, 20, 10, 10, 2, 2, 1, 2, 1, 1}
	name := func() string {
		var names []string
		for range 1 + r.IntN(3) {
			n := r.IntN(69)
			for i, w := range weights {
				if n -= w; n < 0 {
					names = append(names, parts[i])
					break
				}
			}
		}
		return strings.Join(names, "/")
	}
	var files []file
	for range 1 + r.IntN(12) {
		f := file{name: name(), mode: r.Int64N(0o10000), uid: r.IntN(3)}
		switch r.IntN(10) {
		case 0, 1, 2, 3:
			f.body = strings.Repeat(string(rune('A'+r.IntN(26))), r.IntN(2000))
		case 4, 5:
			f.typ = tar.TypeDir
		case 6, 7:
			f.typ, f.link = tar.TypeSymlink, []string{name() + "x", name() + "/" + name() + "y", "..", "/", ".", "a", "/b", "../../c", filepath.Dir(outside), outside}[r.IntN(10)]
		case 8:
			f.typ, f.link = tar.TypeLink, []string{name() + "z", "a", "b", "c", "l", "a/b", outside}[r.IntN(7)]
		case 9:
			f.typ = []byte{tar.TypeFifo, tar.TypeChar}[r.IntN(2)]
		}
		if f.typ != tar.TypeDir {
			f.name = strings.TrimRight(f.name, "/")
		}
		if f.name == "" {
			f.name = "a"
		}
		files = append(files, f)
	}
	return files
}
