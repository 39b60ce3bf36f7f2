package build

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/fuse-overlay"
)

// described lists what is in an upper directory: "-name" is a mark of something deleted,
// a directory with "!" is opaque.
func described(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		switch {
		case e.IsDir():
			var value [1]byte
			if n, err := unix.Getxattr(path, "user.overlay.opaque", value[:]); err == nil && n == 1 {
				name += "!"
			}
			name += "/"
		case e.Type()&fs.ModeCharDevice != 0:
			name = "-" + name
		default:
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name += "=" + string(text)
		}
		list = append(list, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// layered makes an upper directory of the words of described.
func layered(t *testing.T, words ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, w := range words {
		name, text, isFile := strings.Cut(w, "=")
		var err error
		switch {
		case strings.HasPrefix(w, "-"):
			err = unix.Mknod(filepath.Join(dir, w[1:]), unix.S_IFCHR, 0)
		case isFile:
			err = os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)
		default:
			path := filepath.Join(dir, strings.TrimRight(name, "!/"))
			if err = os.Mkdir(path, 0o755); err == nil && strings.Contains(name, "!") {
				err = unix.Setxattr(path, "user.overlay.opaque", []byte("y"), 0)
			}
		}
		if err != nil {
			t.Fatal(w, err)
		}
	}
	return dir
}

func TestFlatten(t *testing.T) {
	for name, c := range map[string]struct {
		layers [][]string
		want   string
	}{
		"files":              {[][]string{{"a=1", "b=1"}, {"b=2", "c=2"}}, "a=1 b=2 c=2"},
		"deleted":            {[][]string{{"a=1", "d/", "d/x=1"}, {"-a", "-d"}}, "-a -d"},
		"of the image below": {[][]string{{"x=1"}, {"-below"}}, "-below x=1"},
		"made again":         {[][]string{{"-a"}, {"a=2"}}, "a=2"},
		"directories merge":  {[][]string{{"d/", "d/x=1", "d/y=1"}, {"d/", "-d/x", "d/z=2"}}, "-d/x d/ d/y=1 d/z=2"},
		"opaque":             {[][]string{{"d/", "d/x=1"}, {"d!/", "d/y=2"}}, "d!/ d/y=2"},
		"opaque stays":       {[][]string{{"d!/", "d/x=1"}, {"d/", "d/y=2"}}, "d!/ d/x=1 d/y=2"},
		"after a deletion":   {[][]string{{"-d"}, {"d/", "d/y=2"}}, "d!/ d/y=2"},
		"directory to file":  {[][]string{{"d/", "d/x=1"}, {"d=2"}}, "d=2"},
		"file to directory":  {[][]string{{"d=1"}, {"d/", "d/x=2"}}, "d!/ d/x=2"},
	} {
		to := layered(t)
		for _, words := range c.layers {
			from := layered(t, words...)
			source, err := os.Open(from)
			if err != nil {
				t.Fatal(err)
			}
			target, err := os.Open(to)
			if err != nil {
				t.Fatal(err)
			}
			f := &flattener{marks: fuseoverlay.Kernel, ctxErr: func() error { return nil }}
			if err := f.dir(source, target); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			source.Close()
			target.Close()
		}
		if got := strings.Join(described(t, to), " "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
