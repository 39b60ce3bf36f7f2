package tests

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sbx/tests/registry"
)

// layer makes a layer of entries; the content of a regular file is in Gname.
func layer(t testing.TB, compression string, entries ...tar.Header) registry.Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(appendEntries(w, entries), w.Close()); err != nil {
		t.Fatal(err)
	}
	return must[registry.Layer](t)(registry.NewLayer(b.Bytes(), compression))
}

// bottom is the small root file system as a layer.
func bottom(t testing.TB, compression string) registry.Layer {
	t.Helper()
	Need(t, "busybox", "overlay")
	raw := must[[]byte](t)(os.ReadFile(os.Getenv("SBX_TEST_BUSYBOX")))
	return must[registry.Layer](t)(registry.NewLayer(raw, compression))
}

func pack(t testing.TB, i registry.Image) registry.Packed {
	t.Helper()
	return must[registry.Packed](t)(i.Pack())
}

// small is an image of busybox and a file /what that holds a word: images of
// different words share the bottom layer.
func small(t testing.TB, word string) registry.Packed {
	t.Helper()
	i := smallImage(t, word)
	i.Docker = true
	return pack(t, i)
}

// ociSmall is the same with an OCI manifest.
func ociSmall(t testing.TB, word string) registry.Packed {
	t.Helper()
	return pack(t, smallImage(t, word))
}

func smallImage(t testing.TB, word string) registry.Image {
	t.Helper()
	return registry.Image{Layers: []registry.Layer{bottom(t, "gzip"), layer(t, "gzip", file("what", word+"\n"))},
		Config: map[string]any{"Cmd": []string{"cat", "/what"}}}
}

func dir(name string) tar.Header { return tar.Header{Name: name + "/", Typeflag: tar.TypeDir} }

// bulk is what a Debian runs without.
var bulk = regexp.MustCompile(`^(\./)?(usr/share/|usr/lib/python3|usr/lib/[^/]*/(perl|gconv)|var/(lib|cache)/|usr/bin/(perl|python))`)

// slim is the archive of the Debian root file system without its bulk: a third of
// it, since podman's gzip takes its time.
func slim(t testing.TB) string {
	t.Helper()
	Need(t, "rootfs", "overlay")
	in := must[*os.File](t)(os.Open(os.Getenv("SBX_TEST_ROOTFS")))
	defer in.Close()
	out := must[*os.File](t)(os.Create(filepath.Join(t.TempDir(), "debian.tar")))
	r, w := tar.NewReader(in), tar.NewWriter(out)
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err == nil && !bulk.MatchString(h.Name) {
			if err = w.WriteHeader(h); err == nil {
				_, err = io.Copy(w, r)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

// long is a path that needs more than one kind of tar header.
var long = "long/" + strings.Repeat("n", 200) + "/" + strings.Repeat("m", 120)

// rich is an image with what real layers hold, and the script that says, in one
// line each, what has to be seen inside.
func rich(t testing.TB, docker bool, compressions [4]string) (p registry.Packed, script, want string) {
	t.Helper()
	owned := file("owned", "o")
	owned.Uid, owned.Gid = 1000, 1001
	setuid := file("setuid", "s")
	setuid.Mode = 0o6755
	attr := file("attr", "x")
	attr.Format, attr.PAXRecords = tar.FormatPAX, map[string]string{"SCHILY.xattr.user.colour": "blue\x00green"}
	sticky := dir("sticky")
	sticky.Mode = 0o1777
	layers := []registry.Layer{
		bottom(t, compressions[0]),
		layer(t, compressions[1], dir("a"), file("a/keep", "k1"), file("a/gone", "g"), dir("opaque"), file("opaque/old", "o"), dir("opaque/sub"),
			file("opaque/sub/deep", "d"), dir("real"), link("lnk", "real"), file("shared", "both"), setuid, owned, attr, sticky,
			tar.Header{Name: "hard", Linkname: "shared", Typeflag: tar.TypeLink}, tar.Header{Name: "pipe", Typeflag: tar.TypeFifo, Mode: 0o622},
			file("old", "old"), dir("wasdir"), file("wasdir/f", "f"), file("wasfile", "f"), file(long, "deep"), link("loose", "/no/where")),
		layer(t, compressions[2], file("a/.wh.gone", ""), file("opaque/.wh..wh..opq", ""), file("opaque/new", "n"), file("old", "new"),
			file("wasdir", "now a file"), dir("wasfile"), file("wasfile/in", "now a dir"), link("l2", "r2"), dir("r2"), file("l2/through", "t")),
		layer(t, compressions[3], file("twice", "second"), file("a/keep", "k2"), file("opaque/.wh.new", ""), file("opaque/newer", "n")),
	}
	script = `cd /; cat a/keep; echo; ls a opaque; cat shared hard; echo; stat -c '%h %i' shared hard | uniq | wc -l
stat -c '%n %F %a %u:%g' setuid owned sticky pipe loose wasdir wasfile; cat old wasdir wasfile/in l2/through twice; echo; cat ` + long + `; echo; readlink loose`
	want = "k2\na:\nkeep\n\nopaque:\nnewer\nbothboth\n1\nsetuid regular file 6755 0:0\nowned regular file 644 1000:1001\nsticky directory 1777 0:0\n" +
		"pipe fifo 622 0:0\nloose symbolic link 777 0:0\nwasdir regular file 644 0:0\nwasfile directory 755 0:0\nnewnow a filenow a dirtsecond\ndeep\n/no/where"
	p = pack(t, registry.Image{Docker: docker, Layers: layers, Config: map[string]any{
		"Cmd": []string{"/bin/sh"}, "Env": []string{"PATH=/bin", "COLOUR=blue"}, "Labels": map[string]string{"kind": "rich"}, "WorkingDir": "/"}})
	return p, script, want
}
