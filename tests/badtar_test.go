package tests

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// entries makes an archive.
func entries(t *testing.T, list ...tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range list {
		content := ""
		if h.Typeflag == tar.TypeReg {
			content = "evil\n"
		}
		h.Size, h.ModTime = int64(len(content)), time.Unix(1, 0)
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// stored are the files of the image store, for comparison.
func (e *Env) stored() string {
	e.t.Helper()
	var list []string
	// What subordinate ids own the user cannot enter; its name is enough.
	_ = filepath.WalkDir(filepath.Join(e.Data, "storage", "overlay"), func(path string, d fs.DirEntry, err error) error {
		if strings.Count(path[len(e.Data):], "/") > 4 {
			return fs.SkipDir
		}
		list = append(list, path)
		return nil
	})
	return strings.Join(list, "\n")
}

// An archive that names places outside its root does not reach them: it is
// refused, or what it names is inside. CVE-2021-29136 and many before it.
func TestThreat16ArchivesStayInside(t *testing.T) {
	t.Parallel()
	Need(t, "overlay")
	e := Sbx(t)
	outside := filepath.Join(e.Home, "outside")
	if err := os.Mkdir(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	victim := filepath.Join(outside, "victim")
	if err := os.WriteFile(victim, []byte("untouched\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	deep := strings.Repeat("../", 30)
	for name, list := range map[string][]tar.Header{
		"parent":           {{Typeflag: tar.TypeReg, Name: deep + outside[1:] + "/new"}},
		"parent inside":    {{Typeflag: tar.TypeReg, Name: "a/b/" + deep + outside[1:] + "/new"}},
		"absolute":         {{Typeflag: tar.TypeReg, Name: outside + "/new"}},
		"overwrite":        {{Typeflag: tar.TypeReg, Name: victim}},
		"link then write":  {{Typeflag: tar.TypeSymlink, Name: "link", Linkname: outside}, {Typeflag: tar.TypeReg, Name: "link/new"}},
		"link to parent":   {{Typeflag: tar.TypeSymlink, Name: "link", Linkname: deep + outside[1:]}, {Typeflag: tar.TypeReg, Name: "link/new"}},
		"link replaced":    {{Typeflag: tar.TypeSymlink, Name: "f", Linkname: victim}, {Typeflag: tar.TypeReg, Name: "f"}},
		"hard link out":    {{Typeflag: tar.TypeLink, Name: "hard", Linkname: victim}, {Typeflag: tar.TypeReg, Name: "hard"}},
		"hard link parent": {{Typeflag: tar.TypeLink, Name: "hard", Linkname: deep + victim[1:]}, {Typeflag: tar.TypeReg, Name: "hard"}},
		"hard link to link": {{Typeflag: tar.TypeSymlink, Name: "link", Linkname: victim}, {Typeflag: tar.TypeLink, Name: "hard", Linkname: "link"},
			{Typeflag: tar.TypeReg, Name: "hard"}},
		"whiteout": {{Typeflag: tar.TypeSymlink, Name: "d", Linkname: outside}, {Typeflag: tar.TypeReg, Name: "d/.wh.victim"}},
	} {
		r := e.RunIn(entries(t, list...), "import", "-", "evil")
		if r.Code != 0 && (strings.Count(r.Err, "\n") != 1 || r.Out != "") {
			t.Errorf("%s: %+v", name, r)
		}
		if got, err := os.ReadFile(victim); err != nil || string(got) != "untouched\n" {
			t.Fatalf("%s: the victim holds %q, %v", name, got, err)
		}
		if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
			t.Fatalf("%s: outside holds %v, %v", name, left, err)
		}
		t.Logf("%s: status %d %s", name, r.Code, strings.TrimSpace(r.Err))
	}
}

// Rights over the host do not come out of an archive.
func TestThreat16ArchivesGiveNoDevices(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	e := Sbx(t)
	raw, err := os.ReadFile(os.Getenv("SBX_TEST_BUSYBOX"))
	if err != nil {
		t.Fatal(err)
	}
	more := entries(t, tar.Header{Typeflag: tar.TypeBlock, Name: "disk", Devmajor: 8}, tar.Header{Typeflag: tar.TypeChar, Name: "kmsg", Devmajor: 1, Devminor: 11},
		tar.Header{Typeflag: tar.TypeReg, Name: "suid", Mode: 0o4755})
	// An archive ends with two blocks of zeros; the other one begins there.
	end := (len(bytes.TrimRight(raw, "\x00")) + 511) &^ 511
	joined := string(raw[:end]) + more
	r := e.RunIn(joined, "import", "-", "devices")
	if r.Code != 0 {
		t.Fatalf("%+v", r)
	}
	if r := e.Run("run", "--rm", "--privileged", "devices", "sh", "-c", "head -c 1 /disk; head -c 1 /kmsg"); r.Out != "" {
		t.Errorf("a device of an archive can be read: %+v", r)
	}
}

func TestBadArchivesLeaveNothing(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	e := Sbx(t)
	e.Busybox()
	before := e.stored()
	raw, err := os.ReadFile(os.Getenv("SBX_TEST_BUSYBOX"))
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(raw)
	copy(broken[len(broken)/2&^511:], bytes.Repeat([]byte("garbage"), 200))
	for name, data := range map[string]string{
		"empty": "", "text": strings.Repeat("this is no archive\n", 100), "truncated": string(raw[:len(raw)/2]),
		"truncated gzip": packed.String()[:packed.Len()/2], "bad gzip": packed.String()[:packed.Len()/2] + strings.Repeat("x", 5000),
		"only zeros": strings.Repeat("\x00", 10240),
	} {
		r := e.RunIn(data, "import", "-", "bad")
		if r.Code != 1 || r.Out != "" || strings.Count(r.Err, "\n") != 1 {
			t.Errorf("%s: %+v", name, r)
		}
		t.Logf("%s: %s", name, strings.TrimSpace(r.Err))
	}
	e.Fails(1, "no such file", "import", e.Home+"/missing.tar", "bad")
	e.Fails(1, "directory", "import", e.Home, "bad")
	e.Fails(125, "bad", "run", "--rm", "bad", "true")
	if after := e.stored(); after != before {
		t.Errorf("the store holds\n%s\nbefore it was\n%s", after, before)
	}
	e.Is("works", "run", "--rm", "busybox", "echo", "works")
}

// What is killed in the middle of an import leaves nothing.
func TestInterruptedImport(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	e := Sbx(t)
	e.Busybox()
	before := e.stored()
	raw, err := os.ReadFile(os.Getenv("SBX_TEST_BUSYBOX"))
	if err != nil {
		t.Fatal(err)
	}
	p := e.Start("import", "-", "half")
	if _, err := p.In.Write(raw[:len(raw)/2]); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.In.Close()
	if r := p.Wait(); r.Code != 137 {
		t.Errorf("%+v", r)
	}
	e.Eventually("nothing is left of it", func() bool { return e.stored() == before })
	e.Fails(125, "half", "run", "--rm", "half", "true")
}

// executable is an archive of one executable file.
func executable(t *testing.T, name string, content []byte) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o755, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
