package logfile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func TestRotationKeepsTheNewest(t *testing.T) {
	for _, files := range []int{0, 1, 2, 4} {
		t.Run(fmt.Sprint(files), func(t *testing.T) {
			dir := t.TempDir()
			// Two records of 10 bytes of text to a file.
			const size = int64(2 * (headLen + 11))
			w := create(t, dir, Options{MaxSize: size, MaxFile: files})
			var all []string
			for i := range 21 {
				line := fmt.Sprintf("line %05d\n", i)
				all = append(all, line)
				write(t, w.Stream("stdout"), line)
			}
			want := []string{"log", "log.1", "log.2", "log.3"}[:max(files, 1)]
			if got := names(t, dir); !slices.Equal(got, want) {
				t.Errorf("files %v, want %v", got, want)
			}
			for _, name := range want {
				if n := int64(len(get(t, dir, name))); n > size {
					t.Errorf("%s has %d bytes, more than %d", name, n, size)
				}
			}
			out, _ := read(t, dir, everything)
			kept := 2*(len(want)-1) + 1
			equal(t, "kept lines", out, strings.Join(all[len(all)-kept:], ""))
		})
	}
}

func TestRotationInOneWrite(t *testing.T) {
	dir := t.TempDir()
	w := create(t, dir, Options{MaxSize: 1000, MaxFile: 1 << 20})
	text := strings.Repeat("some text\n", 500) + strings.Repeat("z", 3*maxText)
	write(t, w.Stream("stdout"), text)
	if n := len(names(t, dir)); n < 20 {
		t.Errorf("only %d files", n)
	}
	out, _ := read(t, dir, everything)
	equal(t, "stdout", out, text)
}

// A crash can come between any two moves of a rotation.
func TestRotationAfterCrashInRotation(t *testing.T) {
	record := func(s string) string { return stampA + " stdout F " + s + "\n" }
	for missing := range 4 {
		dir := t.TempDir()
		var want []string
		for i := 3; i >= 0; i-- {
			if i != missing {
				put(t, dir, name(i), record(name(i)))
				want = append(want, name(i))
			}
		}
		put(t, dir, spare, "left over")
		out, _ := read(t, dir, everything)
		equal(t, "after crash", out, strings.Join(want, "\n")+"\n")

		w := create(t, dir, Options{MaxSize: 1, MaxFile: 5})
		write(t, w.Stream("stdout"), "new\n")
		out, errOut := read(t, dir, everything)
		equal(t, "after rotation", out, strings.Join(append(want, "new"), "\n")+"\n")
		equal(t, "stderr", errOut, "")
		if _, err := os.Lstat(filepath.Join(dir, spare)); err == nil && missing != 0 {
			t.Errorf("%s is left", spare)
		}
	}
}
