package tests

import (
	"os"
	"path/filepath"
	"testing"

	"sbx/tests/registry"
)

// A directory of layouts that one user fills and others pull from.
func TestSharedDirectory(t *testing.T) {
	t.Parallel()
	giver := Sbx(t)
	p := small(t, "shared")
	f := giver.front(registry.Memory())
	put(t, f.Addr, "a", "1", p)
	giver.OK("pull", "-q", f.Addr+"/a:1")
	shared := filepath.Join(t.TempDir(), "shared")
	giver.OK("save", "-q", "--format", "oci-dir", "-o", shared, f.Addr+"/a:1")
	blob := func(b registry.Blob) string { return filepath.Join(shared, "blobs/sha256", b.Digest()[7:]) }
	for _, path := range []string{shared, filepath.Join(shared, "index.json"), filepath.Join(shared, "oci-layout"), blob(p.Config)} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm()&0o044 != 0o044 {
			t.Errorf("%s cannot be read by others: %v %v", path, st.Mode(), err)
		}
	}
	// A second image goes to the same place; both stay.
	q := small(t, "second")
	put(t, f.Addr, "a", "2", q)
	giver.OK("pull", "-q", f.Addr+"/a:2")
	giver.OK("save", "-q", "--format", "oci-dir", "-o", shared, f.Addr+"/a:2")

	// By the layout's own name.
	taker := Sbx(t)
	taker.plain(f.Addr)
	id := taker.OK("pull", "-q", "oci:"+shared+":"+f.Addr+"/a:1")
	taker.Is("shared", "run", "--rm", id)
	taker.Is("second", "run", "--rm", taker.OK("pull", "-q", "oci:"+shared+":"+f.Addr+"/a:2"))
	taker.skopeo("inspect", "oci:"+shared+":"+f.Addr+"/a:1")

	// As a place that blobs are taken from before the registry is asked for them.
	third := Sbx(t)
	third.plain(f.Addr)
	third.Extra = append(third.Extra, "SBX_SHARED="+shared)
	f.Forget()
	third.Is(p.ID(), "pull", "-q", f.Addr+"/a:1")
	third.Is("shared", "run", "--rm", f.Addr+"/a:1")
	if n := f.Count("GET", "/blobs/"); n != 0 {
		t.Errorf("%d blobs were fetched that the directory has", n)
	}
}

// Whoever can write there can spoil what is there, and no more: every digest is
// checked.
func TestSharedDirectoryIsNotTrusted(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	p := ociSmall(t, "x")
	image := f.Addr + "/a:1"
	put(t, f.Addr, "a", "1", p)
	top := t.TempDir()
	e.Extra = append(e.Extra, "SBX_SHARED="+top+"/layout:"+top+"/no-such")
	secret := filepath.Join(e.Home, "secret")
	if err := os.WriteFile(secret, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, spoil := range map[string]func(path string) error{
		"flipped": func(path string) error {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			raw[len(raw)/2] ^= 1
			return os.WriteFile(path, raw, 0o600)
		},
		"short": func(path string) error { return os.Truncate(path, 10) },
		"link": func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Symlink(secret, path)
		},
		"fifo": func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return output("mkfifo", path)
		},
		"directory": func(path string) error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Mkdir(path, 0o700)
		},
	} {
		layout := filepath.Join(top, "layout")
		if err := os.RemoveAll(layout); err != nil {
			t.Fatal(err)
		}
		if err := registry.Layout(layout, map[string]registry.Packed{"x": p}); err != nil {
			t.Fatal(err)
		}
		if err := spoil(filepath.Join(layout, "blobs/sha256", p.Blobs[1].Digest()[7:])); err != nil {
			t.Fatal(err)
		}
		// The layout itself cannot be pulled.
		e.refused(1, []string{p.Blobs[1].Digest()[7:19]}, "pull", "-q", "oci:"+layout+":x")
		e.noImages()
		// The registry has the true blob, which is taken instead.
		e.Is(p.ID(), "pull", "-q", image)
		e.Is("x", "run", "--rm", image)
		e.OK("rmi", image)
	}
}
