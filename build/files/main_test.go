package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/tests/nested"
)

// The tests need a user namespace with subordinate ids.
func TestMain(m *testing.M) { nested.Main(m, "SBX_TEST_BUILDFILES_INSIDE") }

// dirOf opens a directory the way that a root comes.
func dirOf(t testing.TB, path string) *os.File {
	t.Helper()
	fd, err := unix.Open(path, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), path)
	t.Cleanup(func() { f.Close() })
	return f
}

// plant makes a tree of words: "dir/", "file=content", "link->target", "pipe|", each
// with a mode behind "@" and owners behind "%" if they are to differ. In content "~" is a space and
// "^" the end of a line.
func plant(t testing.TB, top, words string) {
	t.Helper()
	for _, w := range strings.Fields(words) {
		w, owner, owned := strings.Cut(w, "%")
		w, mode, moded := strings.Cut(w, "@")
		name, kind := w, byte(0)
		if i := strings.IndexAny(w, "=|"); i >= 0 {
			name, kind = w[:i], w[i]
		} else if i := strings.Index(w, "->"); i >= 0 {
			name, kind = w[:i], '-'
		}
		path := filepath.Join(top, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		switch kind {
		case '=':
			err = errors.Join(err, os.WriteFile(path, []byte(strings.NewReplacer("~", " ", "^", "\n").Replace(w[len(name)+1:])), 0o644))
		case '|':
			err = errors.Join(err, unix.Mkfifo(path, 0o644))
		case '-':
			err = errors.Join(err, os.Symlink(w[len(name)+2:], path))
		default:
			err = errors.Join(err, os.MkdirAll(path, 0o755))
		}
		if owned {
			var uid, gid int
			_, err1 := fmt.Sscanf(owner, "%d:%d", &uid, &gid)
			err = errors.Join(err, err1, os.Lchown(path, uid, gid))
		}
		if moded {
			var m uint32
			_, err1 := fmt.Sscanf(mode, "%o", &m)
			err = errors.Join(err, err1, unix.Chmod(path, m))
		}
		if err != nil {
			t.Fatal(w, err)
		}
	}
}

// tree is what plant would make a tree of, sorted; modes of files that are not 644, of
// directories that are not 755, and owners that are not root.
func tree(t testing.TB, top string) string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == top {
			return err
		}
		w := strings.TrimPrefix(path, top+"/")
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		usual := uint32(0o644)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFDIR:
			w, usual = w+"/", 0o755
		case unix.S_IFLNK:
			to, err := os.Readlink(path)
			if err != nil {
				return err
			}
			w, usual = w+"->"+to, 0o777
		case unix.S_IFIFO:
			w += "|"
		case unix.S_IFREG:
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			w += "=" + strings.NewReplacer(" ", "~", "\n", "^").Replace(string(text))
		default:
			w += "?"
		}
		if st.Mode&0o7777 != usual {
			w += fmt.Sprintf("@%o", st.Mode&0o7777)
		}
		if st.Uid != 0 || st.Gid != 0 {
			w += fmt.Sprintf("%%%d:%d", st.Uid, st.Gid)
		}
		all = append(all, w)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}
