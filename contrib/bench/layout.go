package main

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sbx/tests/registry"
)

// The big image: four layers of real files of this system, 750 MB together. It is
// made once and kept; another system gives other files, the same one the same.
const (
	layers  = 4
	perSize = 750_000_000 / layers
	treeTop = "/usr"
)

// layout gives the directory of the big image, as the OCI layout "big", and says
// how big it is.
func (b *bench) layout() (dir, size string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", "", err
	}
	dir = filepath.Join(cache, "sbx-test", "big-image")
	if size, err := os.ReadFile(filepath.Join(dir, "size")); err == nil {
		return dir, string(size), nil
	}
	fmt.Fprintln(os.Stderr, "bench: making the image to pull, once ...")
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", "", err
	}
	p, plain, err := b.big()
	if err != nil {
		return "", "", err
	}
	if err := registry.Layout(part, map[string]registry.Packed{"big": p}); err != nil {
		return "", "", err
	}
	packed := 0
	for _, l := range p.Blobs {
		packed += len(l)
	}
	size = fmt.Sprintf("%d layers, %d MB packed, %d MB unpacked", layers, packed/1e6, plain/1e6)
	if err := os.WriteFile(filepath.Join(part, "size"), []byte(size), 0o644); err != nil {
		return "", "", err
	}
	if err := os.RemoveAll(dir); err != nil {
		return "", "", err
	}
	return dir, size, os.Rename(part, dir)
}

// big makes the image. Its bottom layer begins with the small root file system, so
// that there is a program to run.
func (b *bench) big() (p registry.Packed, plain int64, err error) {
	var i registry.Image
	files, stop := walk()
	defer stop()
	for n := range layers {
		l, err := registry.StreamLayer("gzip", func(w io.Writer) error {
			c := &counter{w: w}
			t := tar.NewWriter(c)
			if n == 0 {
				if err := appendTree(t, b.root, ""); err != nil {
					return err
				}
			}
			for c.n < perSize {
				path, more := <-files
				if !more {
					break
				}
				if err := appendFile(t, path, "tree"+path); err != nil {
					return err
				}
			}
			err := t.Close()
			plain += c.n
			return err
		})
		if err != nil {
			return p, 0, err
		}
		i.Layers = append(i.Layers, l)
	}
	p, err = i.Pack()
	return p, plain, err
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// walk gives the paths below treeTop in order, until it is stopped.
func walk() (paths <-chan string, stop func()) {
	to, over := make(chan string), make(chan struct{})
	go func() {
		defer close(to)
		_ = filepath.WalkDir(treeTop, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return nil // not ours to read: there is enough
			}
			select {
			case to <- path:
				return nil
			case <-over:
				return fs.SkipAll
			}
		})
	}()
	return to, func() { close(over) }
}

func appendTree(t *tar.Writer, root, to string) error {
	return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return appendFile(t, path, filepath.Join(to, strings.TrimPrefix(path, root)))
	})
}

// appendFile adds a directory, a link or a file that can be read, under a name,
// and with nothing that is different tomorrow.
func appendFile(t *tar.Writer, path, name string) error {
	st, err := os.Lstat(path)
	if err != nil || name == "" || !st.Mode().IsRegular() && !st.IsDir() && st.Mode().Type() != fs.ModeSymlink {
		return err
	}
	target := ""
	if st.Mode().Type() == fs.ModeSymlink {
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	var content *os.File
	if st.Mode().IsRegular() {
		if content, err = os.Open(path); err != nil {
			return nil // not ours to read: there is enough
		}
		defer content.Close()
	}
	h, err := tar.FileInfoHeader(st, target)
	if err != nil {
		return err
	}
	h.Name, h.ModTime, h.Uid, h.Gid, h.Uname, h.Gname = name, time.Unix(1e9, 0), 0, 0, "", ""
	if st.IsDir() {
		h.Name += "/"
	}
	if err := t.WriteHeader(h); err != nil || content == nil {
		return err
	}
	_, err = io.Copy(t, io.LimitReader(content, h.Size))
	return err
}
