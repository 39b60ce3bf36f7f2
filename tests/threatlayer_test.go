package tests

import (
	"archive/tar"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"sbx/tests/registry"
)

// pulled uploads an image of busybox with those entries as a second layer, and
// pulls it.
func (e *Env) pulled(f *registry.Front, name string, entries ...tar.Header) (image string, r Result) {
	e.t.Helper()
	p := pack(e.t, registry.Image{Layers: []registry.Layer{bottom(e.t, "gzip"), layer(e.t, "gzip", entries...)}})
	put(e.t, f.Addr, name, "1", p)
	image = f.Addr + "/" + name + ":1"
	return image, e.Run("pull", "-q", image)
}

// Layers that would write, read or remove elsewhere: nothing of it reaches the host
// or another layer, whether the layer is refused or not, and the store goes on.
func TestThreat16LayersStayInside(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	Need(t, "busybox", "overlay")
	f := e.front(registry.Memory())
	good, r := e.pulled(f, "good", file("what", "ok\n"))
	if r.Code != 0 {
		t.Fatalf("pull: %+v", r)
	}
	out := e.outside()
	secret := filepath.Join(e.Home, "secret")
	if err := os.WriteFile(secret, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	dots := strings.Repeat("../", 40)
	attr := func(h tar.Header, key, value string) tar.Header {
		h.Format, h.PAXRecords = tar.FormatPAX, map[string]string{"SCHILY.xattr." + key: value}
		return h
	}
	hard := func(name, target string) tar.Header {
		return tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeLink}
	}
	for name, entries := range map[string][]tar.Header{
		"dots":              {file(dots+out[1:]+"/f", "x")},
		"dots-inside":       {file("a/../../"+out[1:]+"/f", "x")},
		"absolute":          {file(out+"/f", "x")},
		"link-then-write":   {link("a", out), file("a/f", "x")},
		"link-dots":         {link("a", dots+out[1:]), file("a/f", "x")},
		"link-link":         {link("a", "/"), link("b", "a"+out), file("b/f", "x")},
		"link-replaced":     {dir("a"), link("a", out), file("a/f", "x")},
		"magic":             {link("a", "/proc/self/root"+out), file("a/f", "x")},
		"cwd":               {link("a", "/proc/self/cwd"), file("a/f", "x")},
		"hard-link":         {hard("h", secret)},
		"hard-link-dots":    {hard("h", dots+secret[1:])},
		"hard-link-link":    {link("a", e.Home), hard("h", "a/secret")},
		"hard-link-to-link": {link("a", secret), hard("h", "a")},
		"hard-to-write":     {link("a", secret), hard("h", "a"), file("h", "spoilt")},
		"whiteout":          {link("a", e.Home), file("a/.wh.secret", "")},
		"whiteout-dots":     {file(".wh..", ""), file(dots+out[1:]+"/.wh.x", "")},
		"whiteout-dotdot":   {file("a/.wh...", "")},
		"whiteout-root":     {file(".wh..wh..opq", ""), file("what", "x")},
		"whiteout-slash":    {file(".wh.", "")},
		"opaque":            {link("a", e.Home), file("a/.wh..wh..opq", "")},
		"aufs":              {file(".wh..wh.plnk/1.2", "x"), file(".wh..wh.aufs", "")},
		"redirect":          {attr(dir("a"), "user.overlay.redirect", "/"+dots+out), file("a/f", "x")},
		"overlay-opaque":    {attr(dir("bin"), "user.overlay.opaque", "y")},
		"trusted":           {attr(dir("bin"), "trusted.overlay.opaque", "y")},
		"override":          {attr(file("f", "x"), "user.containers.override_stat", "0:0:0104755")},
		"capability":        {attr(file("f", "x"), "security.capability", "\x01\x00\x00\x02\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00")},
		"device":            {{Name: "sda", Typeflag: tar.TypeBlock, Devmajor: 8, Mode: 0o666}, {Name: "mem", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 1, Mode: 0o666}},
		"zero-device":       {{Name: "etc", Typeflag: tar.TypeChar, Mode: 0o666}},
		"setuid":            {{Name: "su", Gname: "#!/bin/sh\nid -u", Typeflag: tar.TypeReg, Mode: 0o6755}},
		"nul":               {attr(file("f", "x"), "user.a", "b\x00c")},
		"big-id":            {{Name: "f", Gname: "x", Typeflag: tar.TypeReg, Uid: 1 << 31, Gid: 1 << 31}},
		"root-is-file":      {file(".", "x")},
		"root-is-link":      {link(".", out), file("f", "x")},
	} {
		image, r := e.pulled(f, name, entries...)
		isEmpty(t, out)
		if b, err := os.ReadFile(secret); err != nil || string(b) != "mine" {
			t.Fatalf("%s: the host's file: %q %v", name, b, err)
		}
		if r.Code != 0 {
			e.checkRefused(r, 1, nil, "pull", name)
			t.Logf("%-18s refused: %s", name, strings.TrimSpace(r.Err))
			continue
		}
		r = e.Run("run", "--rm", image, "sh", "-c", "cat /h /a/secret /a/f 2>/dev/null; ls -l /sda /mem 2>/dev/null; getfattr -d /f 2>/dev/null; true")
		if strings.Contains(r.Out, "mine") || strings.Contains(r.Out, "brw") || strings.Contains(r.Out, "crw") {
			t.Errorf("%s: inside: %+v", name, r)
		}
		t.Logf("%-18s accepted: %d %.80q %.80q", name, r.Code, r.Out, r.Err)
	}
	e.Is("ok", "run", "--rm", good, "cat", "/what")
}

// What the runtime reads of an image it reads as data inside it: CVE-2024-9676, and
// an /etc/passwd that is a link out, a FIFO, a directory, or endless.
func TestThreat13PasswdOfImage(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	huge := strings.Repeat("x:x:1:1::/:\n", 1<<20)
	for name, entries := range map[string][]tar.Header{
		"link":    {link("etc/passwd", "/proc/self/environ"), link("etc/group", "/proc/self/environ")},
		"dots":    {link("etc/passwd", strings.Repeat("../", 40)+"etc/passwd")},
		"fifo":    {{Name: "etc/passwd", Typeflag: tar.TypeFifo, Mode: 0o666}, {Name: "etc/group", Typeflag: tar.TypeFifo, Mode: 0o666}},
		"dir":     {dir("etc/passwd"), dir("etc/group")},
		"loop":    {link("etc/passwd", "passwd")},
		"huge":    {file("etc/passwd", huge)},
		"etc":     {link("etc", "/proc/self")},
		"unknown": {file("etc/passwd", "")},
	} {
		image, r := e.pulled(f, name, entries...)
		if r.Code != 0 {
			e.checkRefused(r, 1, nil, "pull", name)
			continue
		}
		for _, user := range []string{"alice", "0", "1000:1000"} { // none may hang: Run would say so
			r := e.Run("run", "--rm", "-u", user, image, "id", "-u")
			if r.Code != 0 && (r.Code < 125 || strings.Count(r.Err, "\n") != 1) {
				t.Errorf("%s: run -u %s: %+v", name, user, r)
			}
			if user == "alice" && r.Code == 0 && r.Out != "1000\n" {
				t.Errorf("%s: alice is %q", name, r.Out)
			}
		}
	}
}

// Nothing that the image brings is run to unpack it, and its names are printed as
// text. CVE-2023-28101.
func TestThreat17NothingOfTheImageRuns(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	mark := filepath.Join(e.outside(), "ran")
	var entries []tar.Header
	for _, name := range []string{"xz", "unpigz", "gzip", "zstd", "tar", "bzip2", "newuidmap"} {
		tool := file("usr/bin/"+name, "#!/bin/sh\necho "+name+" >>"+mark+"\n")
		tool.Mode = 0o755
		entries = append(entries, tool)
	}
	entries = append(entries, file("\x1b[31mred\nline", "x"))
	p := pack(t, registry.Image{Layers: []registry.Layer{bottom(t, "gzip"), layer(t, "zstd", entries...), layer(t, "gzip", file("what", "x"))},
		Config: map[string]any{"Labels": map[string]string{"x": "\x1b[31m"}, "Cmd": []string{"\x1b[2J"}},
		Change: func(_, c map[string]any) { c["author"] = "\x1b[31mred\a" }})
	put(t, f.Addr, "a", "1", p)
	image := f.Addr + "/a:1"
	e.OK("pull", "-q", image)
	for _, args := range [][]string{{"image", "inspect", image}, {"history", "--no-trunc", image}, {"images"}, {"image", "inspect", "-f", "{{.Author}} {{.Config.Labels}}", image}} {
		if out := e.OK(args...); strings.ContainsAny(out, "\x1b\a") {
			t.Errorf("sbx %q prints %q", args, out)
		}
	}
	e.OK("save", "-q", "-o", filepath.Join(e.Home, "a.tar"), image)
	e.OK("rmi", image)
	e.OK("load", "-q", "-i", filepath.Join(e.Home, "a.tar"))
	isEmpty(t, filepath.Dir(mark))
}

// The store is the user's own: no other user comes through to a setuid file of an
// image. CVE-2021-41091, CVE-2024-25621.
func TestThreat19StoreIsPrivate(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	setuid := file("setuid", "x")
	setuid.Mode = 0o6777
	image, r := e.pulled(f, "a", setuid)
	if r.Code != 0 {
		t.Fatalf("pull: %+v", r)
	}
	e.Is("6777", "run", "--rm", image, "stat", "-c", "%a", "/setuid")
	if err := os.Chmod(e.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{e.Data, e.Instance.Run} {
		if st := must[os.FileInfo](t)(os.Stat(dir)); st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", dir, st.Mode())
		}
	}
}

// A layer of a few kilobytes that says to be 8 EiB of holes. Package image tests
// compression bombs: they take their time.
func TestThreat16SparseBomb(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	f := e.front(registry.Memory())
	empty := e.startedUsage()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	h := &tar.Header{Name: "GNUSparseFile.0/x", Typeflag: tar.TypeReg, Mode: 0o644, Size: 512, Format: tar.FormatPAX}
	if err := w.WriteHeader(h); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(append([]byte("0\n"), make([]byte, 510)...)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	raw := paxed(b.Bytes(), "GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=x", "GNU.sparse.realsize=9000000000000000000")
	p := pack(t, registry.Image{Layers: []registry.Layer{bottom(t, "gzip"), must[registry.Layer](t)(registry.NewLayer(raw, "gzip"))}})
	put(t, f.Addr, "sparse", "1", p)
	e.checkRefused(e.Run("pull", "-q", f.Addr+"/sparse:1"), 1, nil, "pull", "sparse")
	e.noImages()
	e.Eventually("the disk is given back", func() bool { return e.usage() < empty+4<<20 })
}

// paxed puts a header of extended records in front of an archive: archive/tar does
// not write those of sparse files.
func paxed(archive []byte, records ...string) []byte {
	var body string
	for _, r := range records {
		n := len(r) + 3 // " ", "\n", and one digit
		for len(r)+2+len(strconv.Itoa(n)) != n {
			n = len(r) + 2 + len(strconv.Itoa(n))
		}
		body += strconv.Itoa(n) + " " + r + "\n"
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	// A header of type 'x' cannot be had from the writer either: its type byte, and
	// the checksum over it, are changed afterwards.
	if err := w.WriteHeader(&tar.Header{Name: "pax", Typeflag: tar.TypeReg, Size: int64(len(body)), Mode: 0o644, Format: tar.FormatUSTAR}); err != nil {
		panic(err) // memory takes everything
	}
	if _, err := w.Write([]byte(body)); err != nil {
		panic(err)
	}
	if err := w.Flush(); err != nil {
		panic(err)
	}
	raw := b.Bytes()
	raw[156] = 'x'
	copy(raw[148:156], "        ")
	sum := 0
	for _, c := range raw[:512] {
		sum += int(c)
	}
	copy(raw[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return append(raw, archive...)
}
