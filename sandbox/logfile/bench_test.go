package logfile

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pipeful is what one read of a pipe gives, in lines of 100 bytes.
var pipeful = []byte(strings.Repeat(strings.Repeat("x", 99)+"\n", 65536/100))

func BenchmarkWrite(b *testing.B) {
	w := create(b, b.TempDir(), Options{MaxSize: 64 << 20, MaxFile: 2})
	s := w.Stream("stdout")
	b.SetBytes(int64(len(pipeful)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Write(pipeful); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	dir := b.TempDir()
	w := create(b, dir, Options{})
	for range 256 {
		if _, err := w.Stream("stdout").Write(pipeful); err != nil {
			b.Fatal(err)
		}
	}
	st, err := os.Stat(filepath.Join(dir, "log"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(st.Size())
	for b.Loop() {
		if err := Read(b.Context(), dir, everything, io.Discard, io.Discard, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTail(b *testing.B) {
	dir := b.TempDir()
	w := create(b, dir, Options{})
	for range 256 {
		if _, err := w.Stream("stdout").Write(pipeful); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if err := Read(b.Context(), dir, ReadOptions{Tail: 10}, io.Discard, io.Discard, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// A quiet program's writer must cost nothing per line.
func TestWriteAllocatesNothing(t *testing.T) {
	w := create(t, t.TempDir(), Options{})
	s := w.Stream("stdout")
	line := []byte("a line of output\n")
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := s.Write(line); err != nil {
			t.Error(err)
		}
	}); n >= 1 {
		t.Errorf("%v allocations per write", n)
	}
}
