package files

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkContext is a context of 50,000 files and 1 GB: what is not known yet, what
// has not changed, and the copy.
func BenchmarkContext(b *testing.B) {
	top := os.Getenv("SBX_BENCH_CONTEXT")
	if top == "" {
		top = b.TempDir()
		block := bytes.Repeat([]byte("0123456789abcdef"), 20<<10/16)
		for i := range 50_000 {
			dir := fmt.Sprintf("%s/d%d/e%d", top, i/2500, i/50%50)
			if i%50 == 0 {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					b.Fatal(err)
				}
			}
			if err := os.WriteFile(fmt.Sprint(dir, "/f", i), append(block, byte(i), byte(i>>8)), 0o644); err != nil {
				b.Fatal(err)
			}
		}
		time.Sleep(granularity + time.Second)
	}
	store := filepath.Join(b.TempDir(), "hashes")
	root := &Root{Dir: dirOf(b, top), Shown: "x"}
	b.Run("new", func(b *testing.B) {
		for range b.N {
			root.Hashes = OpenHashes(store)
			digest(b, root, ".")
		}
	})
	root.Hashes = OpenHashes(store)
	digest(b, root, ".")
	if err := root.Hashes.Save(); err != nil {
		b.Fatal(err)
	}
	b.Run("unchanged", func(b *testing.B) {
		for range b.N {
			root.Hashes = OpenHashes(store)
			digest(b, root, ".")
		}
	})
	b.Run("save", func(b *testing.B) {
		for range b.N {
			root.Hashes.fresh[[keySize]byte{255}] = record{255}
			if err := root.Hashes.Save(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("copy", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			to := b.TempDir()
			c := &Copy{Items: []Item{{From: root, Path: "."}}, Dest: "/x", WorkDir: "/"}
			b.StartTimer()
			if err := c.Write(b.Context(), Target{Root: dirOf(b, to)}, nil); err != nil {
				b.Fatal(err)
			}
		}
	})
}
