package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// upperOf is an upper directory with the kernel's marks. That the marks are read as
// overlay means them is tested where they are.
func upperOf(t *testing.T, upper, lower string) *Upper {
	t.Helper()
	dirs := [2]*os.File{}
	for i, path := range []string{upper, lower} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		dirs[i] = f
	}
	return &Upper{
		Dir: dirs[0], Lower: dirs[1],
		Deleted: func(_ *os.File, name string, st *unix.Stat_t) (string, bool, error) { return name, isWhiteout(st), nil },
		Opaque: func(dir *os.File) (bool, error) {
			var value [1]byte
			n, err := unix.Fgetxattr(int(dir.Fd()), "user.overlay.opaque", value[:])
			if errors.Is(err, unix.ENODATA) {
				return false, nil
			}
			return n == 1 && value[0] == 'y', err
		},
	}
}

// changed mounts an overlay on top of directories, top first, runs do in it, and gives
// the upper directory and the top one.
func changed(t *testing.T, do func(merged string) error, lower ...string) *Upper {
	t.Helper()
	top := t.TempDir()
	for _, dir := range []string{"/upper", "/work", "/merged"} {
		if err := os.Mkdir(top+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	data := fmt.Sprintf("userxattr,lowerdir=%s,upperdir=%s/upper,workdir=%s/work", strings.Join(lower, ":"), top, top)
	if err := unix.Mount("overlay", top+"/merged", "overlay", 0, data); err != nil {
		t.Fatal("mount overlay:", err)
	}
	err := do(top + "/merged")
	if err2 := unix.Unmount(top+"/merged", 0); err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	return upperOf(t, top+"/upper", lower[0])
}

// below makes a directory with files of the given names, "d/" for a directory.
func below(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path := filepath.Join(dir, name)
		err := os.MkdirAll(filepath.Dir(path), 0o755)
		if strings.HasSuffix(name, "/") {
			err = errors.Join(err, os.MkdirAll(path, 0o755))
		} else {
			err = errors.Join(err, os.WriteFile(path, []byte("old"), 0o644))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func namesIn(t *testing.T, archive []byte) string {
	t.Helper()
	var names []string
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return strings.Join(names, " ")
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
}

func TestPackUpper(t *testing.T) {
	long := strings.Repeat("n", 255)
	for name, c := range map[string]struct {
		do   func(dir string) error
		want string
	}{
		"nothing": {func(string) error { return nil }, ""},
		"new":     {func(d string) error { return os.WriteFile(d+"/new", nil, 0o600) }, "new"},
		"deep":    {func(d string) error { return os.MkdirAll(d+"/a/b", 0o700) }, "a/ a/b/"},
		"deleted": {func(d string) error { return os.RemoveAll(d + "/d") }, ".wh.d"},
		"in it":   {func(d string) error { return os.Remove(d + "/d/f") }, "d/ d/.wh.f"},
		"long":    {func(d string) error { return os.Remove(d + "/" + long) }, ".wh." + long},
		"replaced": {func(d string) error {
			return errors.Join(os.RemoveAll(d+"/d"), os.MkdirAll(d+"/d/e", 0o755), os.WriteFile(d+"/d/f", nil, 0o600))
		}, "d/ d/.wh..wh..opq d/e/ d/f"},
		"file to dir": {func(d string) error { return errors.Join(os.Remove(d+"/x"), os.Mkdir(d+"/x", 0o755)) }, "x/"},
		"dir to file": {func(d string) error { return errors.Join(os.RemoveAll(d+"/d"), os.WriteFile(d+"/d", nil, 0o600)) }, "d"},
		"socket": {func(d string) error {
			return errors.Join(unix.Mknod(d+"/s", unix.S_IFSOCK|0o600, 0), unix.Mkfifo(d+"/p", 0o600))
		}, "p"},
		"come and gone": {func(d string) error { return errors.Join(os.WriteFile(d+"/q", nil, 0o600), os.Remove(d+"/q")) }, ""},
		"hard link":     {func(d string) error { return os.Link(d+"/x", d+"/y") }, "x y"},
	} {
		t.Run(name, func(t *testing.T) {
			u := changed(t, c.do, below(t, "d/f", "d/g", "x", long))
			var b bytes.Buffer
			if err := PackUpper(context.Background(), &b, u, nil); err != nil {
				t.Fatal(err)
			}
			if got := namesIn(t, b.Bytes()); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// What hides nothing is not in the layer, and a name that would be a whiteout is
// refused.
func TestPackUpperMarks(t *testing.T) {
	lower, upper := below(t, "d/f"), t.TempDir()
	if err := unix.Mknod(upper+"/nothing", unix.S_IFCHR, 0); err != nil {
		t.Fatal(err)
	}
	u := upperOf(t, upper, lower)
	var b bytes.Buffer
	if err := PackUpper(context.Background(), &b, u, nil); err != nil || namesIn(t, b.Bytes()) != "" {
		t.Errorf("got %s, %v", namesIn(t, b.Bytes()), err)
	}
	for _, name := range []string{".wh.x", ".wh.", ".wh..wh..opq"} {
		upper := below(t, "a/"+name)
		err := PackUpper(context.Background(), io.Discard, upperOf(t, upper, lower), nil)
		if err == nil || !strings.Contains(err.Error(), "/a/"+name+":") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// capability is cap_net_bind_service=ep, version 2 with no user namespace in it.
const capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// What an overlay has changed, as a layer on top of the image, gives what was seen
// in the overlay.
func TestDerive(t *testing.T) {
	s := open(t)
	ctx := context.Background()
	base := pack(t, dir("d"), regular("d/f", "old"), regular("d/g", "old"), dir("e"), regular("e/h", "1"), regular("x", "old"), regular("bin", "b"))
	img, err := s.Import(ctx, bytes.NewReader(base), ImportOptions{Name: "base", Message: "first", Changes: []string{"ENV A=1"}})
	if err != nil {
		t.Fatal(err)
	}
	lower := s.layerDir(img.LayerIDs[0])
	var want string
	u := changed(t, func(d string) error {
		big := append(make([]byte, 1<<20), 'x')
		err := errors.Join(
			os.RemoveAll(d+"/d"), os.MkdirAll(d+"/d/sub", 0o750), os.WriteFile(d+"/d/new", []byte("new"), 0o640), os.Remove(d+"/e/h"),
			os.Link(d+"/d/new", d+"/hard"), os.Symlink("d", d+"/link"), unix.Mkfifo(d+"/pipe", 0o600), os.Chown(d+"/d/new", 7, 8),
			os.Chmod(d+"/bin", 0o4755), os.WriteFile(d+"/sparse", big, 0o600), unix.Setxattr(d+"/x", "user.note", []byte("n"), 0),
			os.WriteFile(d+"/\xff\n", nil, 0o600), os.WriteFile(d+"/"+strings.Repeat("l", 255), nil, 0o600),
			unix.Setxattr(d+"/x", "security.capability", []byte(capability), 0))
		want = listing(t, d)
		return err
	}, lower)
	r, w := io.Pipe()
	go func() { w.CloseWithError(PackUpper(ctx, w, u, nil)) }()
	layer, err := s.Stage(ctx, r, StageOptions{Source: "box", Holes: true})
	if err != nil {
		t.Fatal(err)
	}
	config := img.Config
	config.Cmd = []string{"x"}
	got, err := s.Derive(ctx, layer, DeriveOptions{
		Base: img.ID, Config: config, Name: "next:1", Author: "Ann", Message: "more", CreatedBy: "sh -c x", Source: "box",
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Author != "Ann" || got.Comment != "more" || got.Config.Cmd[0] != "x" || got.Config.Env[0] != "A=1" || len(got.LayerIDs) != 2 || got.LayerIDs[0] != img.LayerIDs[0] {
		t.Errorf("%+v", got)
	}
	if last := got.Steps()[0]; len(got.History) != 2 || last.CreatedBy != "sh -c x" || last.Comment != "more" || last.Author != "Ann" || last.Size == 0 || got.History[0].Comment != "first" {
		t.Errorf("history %+v", got.History)
	}
	top := s.layerDir(got.LayerIDs[1])
	seen := changed(t, func(d string) error {
		if have := listing(t, d); have != want {
			t.Errorf("in the new image:\n%s\nwas:\n%s", have, want)
		}
		return nil
	}, top, lower)
	var again bytes.Buffer
	if err := PackUpper(ctx, &again, seen, nil); err != nil || namesIn(t, again.Bytes()) != "" {
		t.Errorf("nothing was changed, but packed: %s, %v", namesIn(t, again.Bytes()), err)
	}
	var st unix.Stat_t
	if err := unix.Stat(top+"/hard", &st); err != nil || st.Uid != 7 || st.Gid != 8 || st.Nlink != 2 || st.Mode&0o7777 != 0o640 {
		t.Errorf("the hard link: %+v, %v", st, err)
	}
	for attr, value := range map[string]string{"user.note": "n", "security.capability": capability} {
		got := make([]byte, 64)
		n, err := unix.Getxattr(top+"/x", attr, got)
		if err != nil || string(got[:n]) != value {
			t.Errorf("%s is %q, %v", attr, got[:max(n, 0)], err)
		}
	}
	if err := unix.Stat(top+"/sparse", &st); err != nil || st.Size != 1<<20+1 || st.Blocks*512 > 64<<10 {
		t.Errorf("the sparse file has %d bytes in %d blocks, %v", st.Size, st.Blocks, err)
	}
}

// Without a change there is no layer more, and the history says so, as Docker does.
func TestDeriveEmpty(t *testing.T) {
	s := open(t)
	ctx := context.Background()
	img, err := s.Import(ctx, bytes.NewReader(pack(t, regular("f", "1"))), ImportOptions{Name: "base"})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := PackUpper(ctx, &b, changed(t, func(string) error { return nil }, s.layerDir(img.LayerIDs[0])), nil); err != nil {
		t.Fatal(err)
	}
	got, err := s.Derive(ctx, stage(t, s, b.Bytes()), DeriveOptions{Base: img.ID, Config: Config{Cmd: []string{"x"}}})
	if err != nil || got.ID == img.ID || len(got.LayerIDs) != 1 || len(got.History) != 2 || !got.History[1].Empty {
		t.Errorf("%+v, %v", got, err)
	}
	if left := inventory(t, s); strings.Contains(left, "staging/") {
		t.Error(left)
	}
}

// An image that cannot be recorded leaves no layer behind.
func TestDeriveFails(t *testing.T) {
	s := open(t)
	img, err := s.Import(context.Background(), bytes.NewReader(pack(t, regular("f", "1"))), ImportOptions{Name: "base"})
	if err != nil {
		t.Fatal(err)
	}
	before := inventory(t, s)
	for name, o := range map[string]DeriveOptions{
		"no such image": {Base: strings.Repeat("0", 64)}, "bad name": {Base: img.ID, Name: "BAD"},
	} {
		if _, err := s.Derive(context.Background(), stage(t, s, pack(t, regular("g", "2"))), o); err == nil {
			t.Error(name, "is taken")
		}
		if after := inventory(t, s); after != before {
			t.Errorf("%s: left behind:\n%s", name, after)
		}
	}
}
