package pid1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

const passwdText = `root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin

short:x:5
# comment:x:6:6:::
web:x:1000:100:Web,,,:/home/web:/bin/sh
nohome:x:1001:1001:::/bin/sh
twin:x:1000:200::/home/twin:/bin/sh
web:x:0:0::/second:/bin/sh
2000:x:0:0:a name that is a number:/evil:/bin/sh
top:x:4294967294:4294967294::/top:/bin/sh
minus:x:-1:100::/:/bin/sh
minusgroup:x:7:-1::/:/bin/sh
wrap:x:4294967296:100::/:/bin/sh
keep:x:4294967295:100::/:/bin/sh
huge:x:99999999999999999999:100::/:/bin/sh
words:x:zero:zero::/:/bin/sh
empty:x::::/:/bin/sh
:x:44:44::/nameless:/bin/sh
`

const groupText = `root:x:0:
www:x:33:web,other,12345
tape:x:26:other,web,third
users:x:100:
3000:x:0:
bad:x:-1:web
big:x:4294967296:web
minus:x:-1:
wrap:x:4294967296:
none:x::
`

// tree makes a directory and opens it as a root. A file's text that begins with
// "-> " makes it a link.
func tree(t testing.TB, files map[string]string) int {
	t.Helper()
	return treeAt(t, t.TempDir(), files)
}

func treeAt(t testing.TB, dir string, files map[string]string) int {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			err = errors.Join(err, os.Symlink(to, path))
		} else if strings.HasSuffix(name, "/") {
			err = errors.Join(err, os.MkdirAll(path, 0o755))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte(text), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

// Further groups come after those that the image gives the user, or his in place of them.
func TestLookUpGroups(t *testing.T) {
	root := tree(t, map[string]string{"etc/passwd": passwdText, "etc/group": groupText})
	for _, c := range []struct {
		user   string
		groups []string
		want   identity
	}{
		{"web", []string{"7", "tape"}, identity{uid: 1000, gid: 100, groups: []int{33, 26, 7, 26}, more: true, home: "/home/web"}},
		{"1000:5", []string{"7"}, identity{uid: 1000, gid: 5, groups: []int{7}, more: true, home: "/home/web"}},
		{"web", []string{api.KeepGroups}, identity{uid: 1000, gid: 100, groups: []int{33, 26}, keep: true, home: "/home/web"}},
	} {
		if got, err := lookUp(root, c.user, c.groups); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s with %q: %+v, %v, want %+v", c.user, c.groups, got, err, c.want)
		}
	}
	for _, group := range []string{"none", "", "-1", "4294967295", "web:x"} {
		if got, err := lookUp(root, "web", []string{group}); err == nil || !strings.HasPrefix(err.Error(), "look up group "+strconv.Quote(group)) {
			t.Errorf("group %q: %+v, %v", group, got, err)
		}
	}
}

func TestLookUp(t *testing.T) {
	root := tree(t, map[string]string{"etc/passwd": passwdText, "etc/group": groupText})
	for spec, want := range map[string]identity{
		"":           {home: "/root"},
		"0":          {home: "/root"},
		"root":       {home: "/root"},
		"web":        {uid: 1000, gid: 100, groups: []int{33, 26}, home: "/home/web"},
		"1000":       {uid: 1000, gid: 100, groups: []int{33, 26}, home: "/home/web"}, // the first line counts
		"01000":      {uid: 1000, gid: 100, groups: []int{33, 26}, home: "/home/web"},
		"twin":       {uid: 1000, gid: 200, groups: nil, home: "/home/twin"},
		"nohome":     {uid: 1001, gid: 1001, groups: nil, home: "/"},
		"top":        {uid: 4294967294, gid: 4294967294, groups: nil, home: "/top"},
		"4294967294": {uid: 4294967294, gid: 4294967294, groups: nil, home: "/top"},
		// An explicit group replaces the supplementary ones, as in Docker.
		"web:www":          {uid: 1000, gid: 33, groups: nil, home: "/home/web"},
		"web:26":           {uid: 1000, gid: 26, groups: nil, home: "/home/web"},
		"web:12345":        {uid: 1000, gid: 12345, groups: nil, home: "/home/web"},
		":www":             {uid: 0, gid: 33, groups: nil, home: "/root"},
		"12345":            {uid: 12345, gid: 0, groups: nil, home: "/"},
		"12345:4294967294": {uid: 12345, gid: 4294967294, groups: nil, home: "/"},
		// A number is an id, whatever names the image has.
		"2000":    {uid: 2000, gid: 0, groups: nil, home: "/"},
		"20:3000": {uid: 20, gid: 3000, groups: nil, home: "/"},
		"44":      {uid: 44, gid: 44, groups: nil, home: "/nameless"},
	} {
		if got, err := lookUp(root, spec, nil); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v, want %+v", spec, got, err, want)
		}
	}
}

// Whoever is not found is an error and never root. CVE-2026-30892, CVE-2024-40635.
func TestLookUpRefuses(t *testing.T) {
	root := tree(t, map[string]string{"etc/passwd": passwdText, "etc/group": groupText})
	for _, spec := range []string{
		"nobody", "root:nogroup", "nobody:0", ":", "root:", "::", "1:2:3", "root:x:0", " root", "root ", "ROOT", "-1", "+1", "0x10",
		"1 ", "1e3", "4294967295", "4294967296", "18446744073709551616", "99999999999999999999", "1:4294967295", "1:-1", "web:4294967296",
		"short", "x", "minus", "minusgroup", "wrap", "keep", "huge", "words", "empty", "web:minus", "web:wrap", "web:none",
		"web\n", "\x00", "root\x00", "../root",
	} {
		got, err := lookUp(root, spec, nil)
		if err == nil {
			t.Errorf("%q is taken for %+v", spec, got)
			continue
		}
		var e *api.Error
		if !errors.As(err, &e) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: the error is not for a user: %v", spec, err)
		}
	}
}

func TestLookUpWithoutAccounts(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"an empty root": {}, "/etc is a file": {"etc": ""}, "dangling": {"etc/passwd": "-> /gone", "etc/group": "-> ../../gone"},
	} {
		root := tree(t, files)
		if got, err := lookUp(root, "", nil); err != nil || got.uid != 0 || got.home != "/root" {
			t.Errorf("%s: root is %+v, %v", name, got, err)
		}
		if got, err := lookUp(root, "5:6", nil); err != nil || got.uid != 5 || got.gid != 6 {
			t.Errorf("%s: 5:6 is %+v, %v", name, got, err)
		}
		if got, err := lookUp(root, "root", nil); err == nil {
			t.Errorf("%s: the name root is %+v", name, got)
		}
	}
}

// CVE-2024-9676: an account file can be anything, and must neither hang us nor
// lead out of the root.
func TestLookUpInHostileFiles(t *testing.T) {
	const evil = "evil:x:0:0::/:/bin/sh\n"
	top := t.TempDir()
	if err := os.WriteFile(filepath.Join(top, "passwd"), []byte(evil), 0o644); err != nil {
		t.Fatal(err)
	}
	var roots int
	root := func(files map[string]string, more func(etc string) error) int {
		roots++
		dir := filepath.Join(top, strconv.Itoa(roots))
		fd := treeAt(t, dir, files)
		if more != nil {
			if err := errors.Join(os.MkdirAll(dir+"/etc", 0o755), more(dir+"/etc")); err != nil {
				t.Fatal(err)
			}
		}
		return fd
	}
	passwd := func(f func(path string) error) func(string) error {
		return func(etc string) error { return f(etc + "/passwd") }
	}
	for name, fd := range map[string]int{
		"a link out, relative": root(map[string]string{"etc/passwd": "-> ../../passwd"}, nil),
		"a link out, absolute": root(map[string]string{"etc/passwd": "-> " + top + "/passwd"}, nil),
		"a linked directory":   root(map[string]string{"etc": "-> ../"}, nil),
		"a loop":               root(map[string]string{"etc/passwd": "-> passwd"}, nil),
		"a directory":          root(map[string]string{"etc/passwd/": ""}, nil),
		"a fifo":               root(nil, passwd(func(p string) error { return unix.Mkfifo(p, 0o666) })),
		"a socket": root(nil, passwd(func(p string) error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Bind(fd, &unix.SockaddrUnix{Name: p})
		})),
		"too large": root(map[string]string{"etc/passwd": evil}, passwd(func(p string) error { return os.Truncate(p, maxAccounts+1) })),
		"binary":    root(map[string]string{"etc/passwd": "\x00\xff:::::::::\x00evil:x:0:0:::\n:::::::\n:"}, nil),
	} {
		if got, err := lookUp(fd, "evil", nil); err == nil {
			t.Errorf("%s: evil is %+v", name, got)
		}
	}
	// Inside the root a link is as good as a file.
	fine := root(map[string]string{"etc/passwd": "-> /usr/lib/passwd", "usr/lib/passwd": "me:x:9:9::/:"}, nil)
	if got, err := lookUp(fine, "me", nil); err != nil || got.uid != 9 {
		t.Errorf("a link inside: %+v, %v", got, err)
	}
	full := root(map[string]string{"etc/passwd": strings.Repeat("\n", maxAccounts-12) + "me:x:9:9::/:"}, nil)
	if got, err := lookUp(full, "me", nil); err != nil || got.uid != 9 {
		t.Errorf("a file as large as can be: %+v, %v", got, err)
	}
}

// Whoever looks an account up is on the host, under no limit of the sandbox.
func TestLookUpInMillionsOfLines(t *testing.T) {
	for _, line := range []string{"\n", "::::::\n", "a:\n"} {
		text := strings.Repeat(line, maxAccounts/len(line))
		root := tree(t, map[string]string{"etc/passwd": text, "etc/group": text})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := lookUp(root, "evil", nil)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; err == nil || used > 10*2*maxAccounts {
			t.Errorf("lines of %q: %d MiB, %v", line, used>>20, err)
		}
	}
}

func FuzzLookUp(f *testing.F) {
	for _, spec := range []string{"", "root", "web:www", "2000", "minus", "wrap", "1:none"} {
		f.Add(spec, passwdText, groupText)
	}
	f.Add("a", "a:x:0x0:0:::\n", "")
	dir := f.TempDir()
	root := treeAt(f, dir, map[string]string{"etc/": ""})
	f.Fuzz(func(t *testing.T, spec, passwd, group string) {
		for name, text := range map[string]string{"passwd": passwd, "group": group} {
			if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		id, err := lookUp(root, spec, nil)
		if err != nil {
			return
		}
		for _, n := range append([]int{id.uid, id.gid}, id.groups...) {
			if n < 0 || n > 4294967294 {
				t.Errorf("%q gives %+v: no id", spec, id)
			}
		}
		who, _, _ := strings.Cut(spec, ":")
		if number, err := strconv.ParseUint("0"+who, 10, 64); err == nil {
			if uint64(id.uid) != number {
				t.Errorf("the number %q gives %+v", spec, id)
			}
			return
		}
		named := slices.ContainsFunc(strings.Split(passwd, "\n"), func(line string) bool {
			f := strings.Split(line, ":")
			return len(f) >= 7 && f[0] == who && strings.TrimLeft(f[2], "0") == strings.TrimLeft(fmt.Sprint(id.uid), "0")
		})
		if !named {
			t.Errorf("%q gives %+v, which no line says", spec, id)
		}
	})
}
