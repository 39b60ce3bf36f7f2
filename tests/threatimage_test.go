package tests

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// hostile imports the small root file system with some entries in the place of
// its own: a name of an entry, and all below it, is taken out first.
func (e *Env) hostile(image string, entries ...tar.Header) string {
	e.t.Helper()
	Need(e.t, "busybox", "overlay")
	archive := filepath.Join(e.t.TempDir(), "hostile.tar")
	out, err := os.Create(archive)
	if err != nil {
		e.t.Fatal(err)
	}
	w := tar.NewWriter(out)
	if err := errors.Join(copyBusybox(w, entries), appendEntries(w, entries), w.Close(), out.Close()); err != nil {
		e.t.Fatal(err)
	}
	e.OK("import", archive, image)
	return image
}

func copyBusybox(w *tar.Writer, without []tar.Header) error {
	f, err := os.Open(os.Getenv("SBX_TEST_BUSYBOX"))
	if err != nil {
		return err
	}
	defer f.Close()
	r := tar.NewReader(f)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if replaced(h.Name, without) {
			continue
		}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(w, r); err != nil {
			return err
		}
	}
}

func replaced(name string, by []tar.Header) bool {
	name = path.Clean("/" + name)
	for _, h := range by {
		if other := path.Clean("/" + h.Name); name == other || strings.HasPrefix(name, other+"/") {
			return true
		}
	}
	return false
}

// appendEntries writes entries; the content of a regular file is in Gname, which
// nobody else needs.
func appendEntries(w *tar.Writer, entries []tar.Header) error {
	for _, h := range entries {
		content := ""
		if h.Typeflag == tar.TypeReg {
			content, h.Gname = h.Gname, ""
			h.Size = int64(len(content))
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		h.ModTime = time.Unix(1e9, 0)
		if err := w.WriteHeader(&h); err != nil {
			return err
		}
		if _, err := io.WriteString(w, content); err != nil {
			return err
		}
	}
	return nil
}

func link(name, target string) tar.Header {
	return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink}
}

func file(name, content string) tar.Header {
	return tar.Header{Name: name, Gname: content, Typeflag: tar.TypeReg, Mode: 0o644}
}

// outside is a directory of the host that no sandbox is given. Its emptiness is
// checked at the end.
func (e *Env) outside() string {
	e.t.Helper()
	dir := filepath.Join(e.Home, "outside")
	if err := os.Mkdir(dir, 0o777); err != nil {
		e.t.Fatal(err)
	}
	return dir
}

func isEmpty(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, entry := range entries {
		t.Errorf("made on the host: %s", filepath.Join(dir, entry.Name()))
	}
}

// The target of a mount leads out of the image, by every kind of link. Whatever
// sbx makes of that, it makes it inside. CVE-2024-45310, CVE-2026-87766.
func TestThreat11MountTargetMakesNothingOnHost(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	out := e.outside()
	up := strings.Repeat("../", 40) + out[1:]
	image := e.hostile("links", link("absolute", out), link("dots", up), link("magic", "/proc/self/root"+out),
		link("cwd", "/proc/1/cwd/../../../../../.."+out), link("root", "/proc/1/root"), link("loop", "/loop"),
		link("var/run", "/run"), link("dangling", "/no/where"))
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "f"), []byte("given\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, below := range []string{"absolute", "dots", "magic", "cwd", "root" + out, "loop", "dangling", "var/run", "root/../../../.." + out} {
		target := "/" + below + "/new/dir"
		for _, flags := range [][]string{
			{"-v", dir + ":" + target}, {"-v", dir + "/f:" + target}, {"--tmpfs", target}, {"-w", target},
		} {
			r := e.Run(append(append([]string{"run", "--rm"}, flags...), image, "ls", "-d", target)...)
			if r.Code == 0 && r.Out != target+"\n" || r.Code != 0 && r.Code < 125 {
				t.Errorf("%q: %+v", flags, r)
			}
		}
		isEmpty(t, out)
	}
	// What images really have: bubblewrap#801.
	e.Is("given", "run", "--rm", "-v", dir+":/var/run/app", image, "cat", "/run/app/f")
}

// A running sandbox swaps a component of another one's mount target, in a
// directory that both share. CVE-2021-30465.
func TestThreat06MountTargetSwapped(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	out := e.outside()
	image := e.Busybox()
	shared, given := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(given, "given"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	// Removed and made anew, since a victim may have made a directory there meanwhile.
	swap := "cd /vol; echo go; while :; do rm -rf x; mkdir x; rm -rf x; ln -s " + out + " x; done"
	e.OK("run", "-d", "--name", "swapper", "-v", shared+":/vol", image, "sh", "-c", swap)
	e.Eventually("it swaps", func() bool { return e.Run("logs", "swapper").Out == "go\n" })
	found := map[string]int{}
	for range 60 {
		// Behind the link is the sandbox's own directory of that name.
		r := e.Run("run", "--rm", "-v", shared+":/vol", "-v", given+":/vol/x/new", image, "sh", "-c", "if [ -e "+out+"/new/given ]; then echo link; else echo directory; fi")
		found[r.Out]++
		isEmpty(t, out)
	}
	if found["link\n"] == 0 || found["directory\n"] == 0 {
		t.Errorf("mounts found %v: this tests nothing", found)
	}
	if r := e.Run("exec", "swapper", "true"); r.Code != 0 {
		t.Errorf("the attacker has ended before its victims: %+v", r)
	}
	e.OK("rm", "-f", "swapper")
}

// The image's own /dev has no say: CVE-2025-31133, CVE-2025-52565.
func TestThreat07MaskedPathsByDevNull(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.hostile("null", tar.Header{Name: "dev/", Typeflag: tar.TypeDir}, link("dev/null", "/etc/passwd"), link("dev/zero", "/proc/sysrq-trigger"))
	e.Is("character special file 1:3", "run", "--rm", image, "stat", "-c", "%F %t:%T", "/dev/null")
	e.Is("character special file 1:5", "run", "--rm", image, "stat", "-c", "%F %t:%T", "/dev/zero")
	for _, path := range []string{"/proc/kcore", "/proc/keys", "/proc/timer_list"} {
		if _, err := os.Stat(path); err == nil {
			e.Is("1:3", "run", "--rm", image, "stat", "-c", "%t:%T", path)
		}
	}
	for _, path := range []string{"/proc/sys/kernel/hostname", "/proc/sysrq-trigger", "/proc/irq/default_smp_affinity", "/sys/power/state"} {
		if r := e.Run("run", "--rm", image, "sh", "-c", "[ ! -e "+path+" ] || echo 1 >"+path); r.Code == 0 && exists(path) == nil {
			t.Errorf("%s can be written", path)
		}
	}
}

func TestThreat08ConsoleIsLink(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.hostile("console", tar.Header{Name: "dev/", Typeflag: tar.TypeDir}, link("dev/console", "/etc/passwd"),
		link("dev/ptmx", "/etc/passwd"), link("dev/pts", "/etc"), link("dev/tty", "/etc/passwd"))
	p := e.Terminal("run", "--rm", "-it", image, "sh", "-c", "tty; stat -c %F /dev/console /dev/tty; head -c 5 /etc/passwd; echo; stat -c %F /etc/passwd; exit 3")
	p.Expect("/dev/pts/0")
	p.Expect("character special file\r\ncharacter special file\r\nroot:\r\nregular file")
	if code := p.Wait(); code != 3 {
		t.Errorf("status %d, want 3: %q", code, p.out.String())
	}
}

// A root file system whose /proc, /sys or /dev is something else: CVE-2019-19921,
// CVE-2026-47766, CVE-2026-41579.
func TestThreat10MountPointsAreDirectories(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	out := e.outside()
	for _, name := range []string{"proc", "sys", "dev"} {
		for kind, entry := range map[string]tar.Header{
			"absolute": link(name, "/etc"), "dots": link(name, "../../../../../../.."+out), "dangling": link(name, "nowhere"),
			"file": file(name, "x"), "fifo": {Name: name, Typeflag: tar.TypeFifo},
		} {
			image := e.hostile(name+"-"+kind, entry)
			e.Fails(125, "/"+name, "run", "--rm", image, "true")
		}
	}
	isEmpty(t, out)
	if ids := e.OK("ps", "-aq"); ids != "" {
		t.Errorf("left over: %s", ids)
	}
}

// An archive that would write elsewhere: nothing of it reaches the host, whether
// it is refused or not, and the store goes on. Package image tests the entries
// one by one.
func TestThreat16ArchiveStaysInside(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	Need(t, "busybox", "overlay")
	out := e.outside()
	secret := filepath.Join(e.Home, "secret")
	if err := os.WriteFile(secret, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	dots := strings.Repeat("../", 40)
	for name, entries := range map[string][]tar.Header{
		"dots":            {file(dots+out[1:]+"/f", "x")},
		"absolute":        {file(out+"/f", "x")},
		"link-then-write": {link("a", out), file("a/f", "x")},
		"dots-link":       {link("a", dots+out[1:]), file("a/f", "x")},
		"hard-link":       {{Name: "h", Linkname: secret, Typeflag: tar.TypeLink}},
		"hard-link-dots":  {{Name: "h", Linkname: dots + secret[1:], Typeflag: tar.TypeLink}},
		"link-hard-link":  {link("a", e.Home), {Name: "h", Linkname: "a/secret", Typeflag: tar.TypeLink}},
		"whiteout":        {link("a", e.Home), file("a/.wh.secret", "")},
		"opaque":          {link("a", e.Home), file("a/.wh..wh..opq", "")},
	} {
		archive := filepath.Join(t.TempDir(), name)
		f, err := os.Create(archive)
		if err != nil {
			t.Fatal(err)
		}
		w := tar.NewWriter(f)
		if err := errors.Join(copyBusybox(w, nil), appendEntries(w, entries), w.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
		r := e.Run("import", archive, name)
		isEmpty(t, out)
		if b, err := os.ReadFile(secret); err != nil || string(b) != "mine" {
			t.Errorf("%s: the host's file: %q %v", name, b, err)
		}
		if r.Code != 0 {
			continue
		}
		if r := e.Run("run", "--rm", name, "sh", "-c", "cat /h /a/secret 2>/dev/null"); strings.Contains(r.Out, "mine") {
			t.Errorf("%s: the host's file is in the image", name)
		}
	}
	e.Is("ok", "run", "--rm", e.Busybox(), "echo", "ok")
}
