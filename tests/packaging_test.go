package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// packaging runs a command in the tree, as the Makefile does, and gives its output.
func packaging(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = ".."
	c.Env = append(os.Environ(), env...)
	var errs bytes.Buffer
	c.Stderr = &errs
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, errs.Bytes())
	}
	return strings.TrimSpace(string(out))
}

// distTree is what make dist-tree makes, of the programs that are tested.
func distTree(t *testing.T) string {
	t.Helper()
	bin, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	tree := t.TempDir()
	packaging(t, nil, "make", "--no-print-directory", "-o", "build", "install", "BIN="+bin, "DESTDIR="+tree, "PREFIX=")
	doc := filepath.Join(tree, "share/doc/sbx")
	packaging(t, nil, "contrib/dist/documents", doc)
	licences := packaging(t, nil, "contrib/dist/licences", tags)
	if err := os.WriteFile(filepath.Join(doc, "THIRD-PARTY-LICENCES"), []byte(licences), 0o644); err != nil {
		t.Fatal(err)
	}
	return tree
}

var epoch = []string{"SOURCE_DATE_EPOCH=1700000000", "DEBFULLNAME=A Tester", "DEBEMAIL=tester@example.org"}

func TestDebianPackage(t *testing.T) {
	Need(t, "deb")
	tree, out := distTree(t), t.TempDir()
	build := func(name string, env ...string) string {
		return packaging(t, append(slices.Clone(epoch), env...), "contrib/deb/build", tree, runtime.GOARCH, "1.2.3-dev", filepath.Join(out, name), "-Znone")
	}
	deb := build("one")
	if want := "sbx_1.2.3~dev-1_" + runtime.GOARCH + ".deb"; filepath.Base(deb) != want {
		t.Errorf("the package is %s, want %s", deb, want)
	}
	for field, want := range map[string]string{
		"Package": "sbx", "Version": "1.2.3~dev-1", "Architecture": runtime.GOARCH, "Depends": "uidmap",
		"Recommends": "passt | slirp4netns, dbus-user-session", "Suggests": "fuse-overlayfs", "Maintainer": "A Tester <tester@example.org>",
	} {
		if got := packaging(t, nil, "dpkg-deb", "-f", deb, field); got != want {
			t.Errorf("%s: %q, want %q", field, got, want)
		}
	}

	modes := map[string]string{}
	for line := range strings.Lines(packaging(t, nil, "dpkg-deb", "-c", deb)) {
		f := strings.Fields(line)
		modes[f[5]] = f[0] + " " + f[1] + " " + f[3]
	}
	const program, file = "-rwxr-xr-x root/root 2023-11-14", "-rw-r--r-- root/root 2023-11-14"
	for path, want := range map[string]string{
		"usr/bin/sbx": program, "usr/libexec/sbx/sbxd": program, "etc/apparmor.d/sbx": file,
		"usr/share/man/man1/sbx.1.gz": file, "usr/share/man/man1/sbx-run.1.gz": file, "usr/share/man/man1/sbx-network-create.1.gz": file,
		"usr/share/bash-completion/completions/sbx": file, "usr/share/zsh/vendor-completions/_sbx": file,
		"usr/share/fish/vendor_completions.d/sbx.fish": file, "usr/share/doc/sbx/copyright": file, "usr/share/doc/sbx/changelog.gz": file,
		"usr/share/doc/sbx/changelog.Debian.gz": file, "usr/share/doc/sbx/README.md": file, "usr/share/doc/sbx/docs/images.md": file,
	} {
		if got := modes["./"+path]; got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}

	files := t.TempDir()
	packaging(t, nil, "dpkg-deb", "-R", deb, files)
	packaging(t, nil, "sh", "-c", `cd "$1" && md5sum --quiet --check DEBIAN/md5sums`, "sh", files)
	packaging(t, nil, filepath.Join(files, "usr/bin/sbx"), "--version")
	copyright, err := os.ReadFile(filepath.Join(files, "usr/share/doc/sbx/copyright"))
	if err != nil || !bytes.Contains(copyright, []byte("go.podman.io/storage v")) || !bytes.Contains(copyright, []byte("MIT License")) {
		t.Errorf("the copyright does not name what is linked in, or lacks its licences (%v)", err)
	}

	// A moment later, by somebody else.
	other := build("two", "TZ=Pacific/Chatham", "LC_ALL=C.UTF-8")
	packaging(t, nil, "cmp", deb, other)
}

func TestTarballIsReproducible(t *testing.T) {
	Need(t, "deb")
	// Compressing the programs twice is make check-dist's.
	tree, out := t.TempDir(), t.TempDir()
	packaging(t, nil, "contrib/dist/documents", filepath.Join(tree, "share/doc/sbx"))
	packaging(t, nil, "install", "-D", "-m", "755", "contrib/dist/pack", filepath.Join(tree, "bin/sbx"))
	first, second := filepath.Join(out, "first.tar.gz"), filepath.Join(out, "sbx-1.tar.gz")
	packaging(t, epoch, "contrib/dist/pack", tree, "sbx-1", out)
	if err := os.Rename(second, first); err != nil {
		t.Fatal(err)
	}
	packaging(t, nil, "sh", "-c", `chmod -R g+w,o-rx "$1" && find "$1" -exec touch {} +`, "sh", tree)
	packaging(t, epoch, "contrib/dist/pack", tree, "sbx-1", out)
	packaging(t, nil, "cmp", first, second)

	list := packaging(t, nil, "tar", "-tvzf", first)
	for path, mode := range map[string]string{
		"sbx-1/bin/sbx": "-rwxr-xr-x root/root", "sbx-1/share/doc/sbx/README.md": "-rw-r--r-- root/root", "sbx-1/share/": "drwxr-xr-x root/root",
	} {
		if !slices.ContainsFunc(strings.Split(list, "\n"), func(line string) bool {
			return strings.HasPrefix(line, mode) && strings.HasSuffix(line, " "+path)
		}) {
			t.Errorf("the tarball has no %s with %s:\n%s", path, mode, list)
		}
	}
}

// A parser of AppArmor that cannot read the profile, as Debian 12's, has it switched
// off, so that its service does not fail; a later one has it switched on again. What the
// administrator has switched off stays so.
func TestDebianPackageSettlesAppArmor(t *testing.T) {
	Need(t, "deb", "userns")
	const script = `
mount -t tmpfs none /etc
mkdir -p /etc/apparmor.d/abi /etc/parser
touch /etc/apparmor.d/sbx
export PATH=/etc/parser:$PATH
link() { readlink /etc/apparmor.d/disable/sbx || echo none; }
parser() { printf '#!/bin/sh\nexit %s\n' "$1" >/etc/parser/apparmor_parser; chmod +x /etc/parser/apparmor_parser; }
parser 1; contrib/deb/postinst configure; link
contrib/deb/postrm remove; link
parser 0; contrib/deb/postinst triggered; link
ln -s /etc/apparmor.d/sbx /etc/apparmor.d/disable/sbx; contrib/deb/postinst configure; link
parser 1; contrib/deb/postinst configure; contrib/deb/postrm purge; link
rm /etc/apparmor.d/disable/sbx; contrib/deb/postinst configure; contrib/deb/postrm purge; link`
	got := packaging(t, nil, "unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", script)
	if want := "../sbx\n../sbx\nnone\n/etc/apparmor.d/sbx\n/etc/apparmor.d/sbx\nnone"; got != want {
		t.Errorf("the links that switch it off:\n%s\nwant:\n%s", got, want)
	}
}
