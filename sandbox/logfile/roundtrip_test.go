package logfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var everything = ReadOptions{Tail: -1}

// read gives the two streams of the log in dir, whose writer has ended.
func read(t testing.TB, dir string, o ReadOptions) (string, string) {
	t.Helper()
	var out, errOut strings.Builder
	if err := Read(context.Background(), dir, o, &out, &errOut, nil); err != nil {
		t.Fatal(err)
	}
	return out.String(), errOut.String()
}

func create(t testing.TB, dir string, o Options) *Writer {
	t.Helper()
	w, err := Create(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func write(t testing.TB, w io.Writer, s string) {
	t.Helper()
	if n, err := io.WriteString(w, s); err != nil || n != len(s) {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(s), err)
	}
}

// put makes a file of a log by hand.
func put(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func equal(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %d bytes, want %d:\n%.300q\n%.300q", what, len(got), len(want), got, want)
	}
}

// FuzzLine writes data in pieces of the sizes that cuts says, to one stream or
// the other, and expects to read the same.
func FuzzLine(f *testing.F) {
	f.Add([]byte("hello\nworld"), []byte{3, 1, 200}, int64(0))
	f.Add([]byte("\n\n\x00\xff\r\n2026-11-22T07:00:00.123456789Z stdout F x\n"), []byte{1}, int64(60))
	f.Add(bytes.Repeat([]byte("x"), 3*maxText), []byte{255, 254}, int64(1000))
	f.Add(append(bytes.Repeat([]byte("x"), maxText), '\n'), []byte{255}, int64(0))
	f.Fuzz(func(t *testing.T, data, cuts []byte, maxSize int64) {
		dir := t.TempDir()
		// A byte can make a record of its own: keep it to a few dozen files.
		if maxSize != 0 {
			maxSize = max(maxSize, int64(len(data)), 1)
		}
		w := create(t, dir, Options{MaxSize: maxSize, MaxFile: 1 << 20})
		var want [streams]strings.Builder
		for i := 0; len(data) > 0; i++ {
			n, s := len(data), 0
			if len(cuts) > 0 {
				c := int(cuts[i%len(cuts)])
				s, n = c&1, min(n, 1+c*c)
			}
			write(t, w.Stream([]string{"stdout", "stderr"}[s]), string(data[:n]))
			want[s].Write(data[:n])
			data = data[n:]
		}
		out, errOut := read(t, dir, everything)
		equal(t, "stdout", out, want[stdout].String())
		equal(t, "stderr", errOut, want[stderr].String())
	})
}

func TestRoundTripOfLongBinaryLines(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, Options{})
	random := rand.NewChaCha8([32]byte{1})
	data := make([]byte, 3<<20)
	random.Read(data) // documented to give no error
	copy(data[1<<20:], bytes.Repeat([]byte{'x'}, 1<<20))
	write(t, w.Stream("stdout"), string(data))
	out, errOut := read(t, dir, everything)
	equal(t, "stdout", out, string(data))
	equal(t, "stderr", errOut, "")
}

func TestFormat(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, Options{})
	write(t, w.Stream("stdout"), "one\n\ntwo")
	write(t, w.Stream("stderr"), strings.Repeat("x", maxText)+"\n"+strings.Repeat("y", maxText+1)+"\n")
	var got []string
	for _, line := range strings.Split(strings.TrimSuffix(get(t, dir, "log"), "\n"), "\n") {
		if _, ok := parse([]byte(line)); !ok {
			t.Fatalf("not a record: %.80q", line)
		}
		got = append(got, line[stampLen:min(len(line), headLen+3)])
	}
	want := " stdout F one| stdout F | stdout P two| stderr F xxx| stderr P yyy| stderr F y"
	equal(t, "records", strings.Join(got, "|"), want)
}

func TestAppendsAfterRestart(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"one\n", "two\n"} {
		w := create(t, dir, Options{})
		write(t, w.Stream("stdout"), text)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Stream("stdout").Write([]byte("late")); !errors.Is(err, os.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
	}
	out, _ := read(t, dir, everything)
	equal(t, "stdout", out, "one\ntwo\n")
}

const (
	stampA = "2026-11-22T07:00:00.000000001Z"
	stampB = "2026-11-22T07:00:01.000000000Z"
	stampC = "2026-11-22T07:00:02.000000000Z"
)

func TestRepair(t *testing.T) {
	whole := stampA + " stdout F one\n"
	for _, c := range []struct{ name, tail, out string }{
		{"half a text", stampB + " stdout F tw", "one\ntwnew\n"},
		{"no text", stampB + " stdout F ", "one\nnew\n"},
		{"half a header", stampB + " stdo", "one\nnew\n"},
		{"zeros", strings.Repeat("\x00", 3*maxRecord), "one\nnew\n"},
		{"intact", "", "one\nnew\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "log", whole+c.tail)
			write(t, create(t, dir, Options{}).Stream("stdout"), "new\n")
			out, errOut := read(t, dir, everything)
			equal(t, "stdout", out, c.out)
			equal(t, "stderr", errOut, "")
		})
	}
}

func TestReaderSkipsDamage(t *testing.T) {
	dir := t.TempDir()
	good := func(s string) string { return stampA + " stdout F " + s + "\n" }
	junk := strings.Repeat("\x00", 2*readSize) + "\n"
	put(t, dir, "log.1", good("a")+"junk\n\nmore\n"+good("b")+stampB+" stdlog F x\n"+stampB+" stdout X x\n")
	put(t, dir, "log", junk+good("c")+"2026-13-02Tjunk")
	out, errOut := read(t, dir, everything)
	equal(t, "stdout", out, "a\nb\nc\n")
	if n := strings.Count(errOut, "damaged bytes\n"); n != 3 {
		t.Errorf("%d reports of three damaged places: %q", n, errOut)
	}
	if !strings.Contains(errOut, "skipped 11 damaged bytes") {
		t.Errorf("wrong size in %q", errOut)
	}
}

func TestHalfRecordOfRunningWriterIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "log", stampA+" stdout F one\n"+stampB+" stdout F tw")
	var out strings.Builder
	if err := Read(context.Background(), dir, everything, &out, io.Discard, make(chan struct{})); err != nil {
		t.Fatal(err)
	}
	equal(t, "running", out.String(), "one\n")
	ended, _ := read(t, dir, everything)
	equal(t, "ended", ended, "one\ntw")
}
