package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// anywhere are environments in which everything works.
var anywhere = map[string]broken{
	"a long home":            {env: []string{"SBX_DATA=", "HOME=$DATA/" + strings.Repeat("long-directory-name/", 10)}},
	"a read-only home":       {setup: "mount --bind $HOME $HOME; mount -o remount,ro,bind $HOME"},
	"no runtime directory":   {env: []string{"XDG_RUNTIME_DIR="}},
	"somebody's runtime":     {env: []string{"XDG_RUNTIME_DIR=/"}},
	"a name from a domain":   {env: []string{`USER=CORP\al.ice`, `LOGNAME=CORP\al.ice`}},
	"no name at all":         {env: []string{"USER=", "LOGNAME="}},
	"no newuidmap":           {setup: "mount --bind /dev/null $(readlink -f $(command -v newuidmap))"},
	"a uid above 2^31":       {before: []string{"unshare", "--user", "--map-user=3000000000", "--map-group=3000000000"}},
	"no subordinate ids":     {jailed: true},
	"ids that are not there": {setup: "umount /etc/subuid /etc/subgid"},
}

// TestAnywhere: the short way through sbx, in environments that others stumble over.
func TestAnywhere(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	for name, b := range anywhere {
		t.Run(name, func(t *testing.T) {
			e := Sbx(t)
			run := e.broken(t, b)
			must := func(want string, args ...string) {
				t.Helper()
				if r := run(args...); r.Code != 0 || want != "" && strings.TrimSpace(r.Out) != want {
					t.Errorf("sbx %q: %+v, want %q", args, r, want)
				}
			}
			must("", "import", os.Getenv("SBX_TEST_BUSYBOX"), "small")
			must("hello", "run", "--rm", "small", "echo", "hello")
			must("", "run", "-d", "--name", "box", "small", "sleep", "1000")
			must("0", "exec", "box", "id", "-u")
			must("0 0", "exec", "box", "sh", "-c", "touch /f && chown 0:0 /f && stat -c '%u %g' /f")
			must("box", "stop", "-t", "0", "box")
			must("box", "rm", "box")
			must("", "system", "reset", "-f")
		})
	}
}

// With one id there is nobody else to whom a file could belong. Programs that insist,
// as package managers do, get what they want to hear; a user who asks for another user
// gets an error.
func TestSingleIDInstallsPackages(t *testing.T) {
	t.Parallel()
	Need(t, "rootfs", "overlay")
	e := Sbx(t)
	j := e.jail("")
	j.must(nil, "import", os.Getenv("SBX_TEST_ROOTFS"), "debian")
	script := filepath.Join(e.Home, "script")
	if err := os.WriteFile(script, []byte(installs), 0o644); err != nil {
		t.Fatal(err)
	}
	first := j.Run(nil, "run", "--rm", "-v", script+":/script:ro", "debian", "sh", "/script")
	if !strings.HasSuffix(first.Out, "done 0 0\n") || first.Code != 0 {
		t.Errorf("%s\n%s", tail([]byte(first.Out), 3000), tail([]byte(first.Err), 1000))
	}
	if !strings.Contains(first.Err, "note: all files of images and sandboxes belong to you alone") {
		t.Errorf("no note in %q", first.Err)
	}
	if again := j.Run(nil, "run", "--rm", "debian", "true"); again.Code != 0 || again.Err != "" {
		t.Errorf("the note comes once: %+v", again)
	}
	for _, user := range []string{"33", "www-data", "0:33"} {
		j.blames("you have no subordinate id", j.Run(nil, "run", "--rm", "-u", user, "debian", "true"))
	}
	ctx := filepath.Join(e.Home, "context")
	if err := os.Mkdir(ctx, 0o755); err != nil {
		t.Fatal(err)
	}
	dockerfile := "FROM debian\nRUN touch /f && chown 5:5 /f\nCOPY --chown=7:7 Dockerfile /g\n"
	if err := os.WriteFile(filepath.Join(ctx, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	j.must(nil, "build", "-q", "-t", "built", ctx)
	if r := j.Run(nil, "run", "--rm", "built", "stat", "-c", "%u %g", "/f", "/g"); r.Out != "0 0\n0 0\n" {
		t.Errorf("built: %+v", r)
	}
	// Who asks for no filter has none, and in the host's file system nothing is pretended.
	if r := j.Run(nil, "run", "--rm", "--security-opt", "seccomp=unconfined", "debian", "chown", "33", "/etc/hostname"); r.Code == 0 {
		t.Errorf("unconfined: %+v", r)
	}
	if r := j.Run(nil, "run", "--rm", "host", "sh", "-c", "cd /tmp && touch f && chown 33 f"); r.Code == 0 {
		t.Errorf("host: %+v", r)
	}
}

// installs makes a package whose files belong to others, and which makes more of them.
const installs = `set -e
mkdir -p /p/DEBIAN /p/usr/share/thing
printf 'Package: thing\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n' >/p/DEBIAN/control
printf '#!/bin/sh\nset -e\nchown www-data:www-data /usr/share/thing/file\nmkdir -p /var/lib/thing\nchown -R daemon:adm /var/lib/thing\nchmod 2750 /var/lib/thing\nadduser=$(command -v useradd)\n$adduser -m -r thing\n' >/p/DEBIAN/postinst
chmod 755 /p/DEBIAN/postinst
echo x >/p/usr/share/thing/file
chown 33:33 /p/usr/share/thing/file
tar -C /p/usr -cf /p.tar --owner=44 --group=45 share
tar -C /tmp -xpf /p.tar
dpkg-deb -Znone -b /p /thing.deb
apt-get install -y /thing.deb
dpkg -s thing | grep -q 'install ok installed'
echo done $(stat -c '%u %g' /usr/share/thing/file)
`

// A path may have anything in it but NUL: what separates the options of a mount, and
// what separates words and lines, and wildcards. Whatever mounts the roots.
func TestAnyCharacterInAPath(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "overlay")
	// Fuse-overlayfs takes colons for separators, and says so.
	for overlay, name := range map[string]string{"": "a:b,c\\d e\n'f\"%s$x[y]*?", "fuse": "a,c\\d e\n'f\"%s$x[y]*?"} {
		t.Run("overlay "+overlay, func(t *testing.T) {
			if overlay != "" {
				Need(t, "fuse")
			}
			e := Sbx(t)
			home := filepath.Join(e.Root, name)
			ctx := filepath.Join(home, "ctx")
			if err := os.MkdirAll(ctx, 0o700); err != nil {
				t.Fatal(err)
			}
			e.Extra = append(e.Extra, "HOME="+home, "SBX_DATA="+home+"/data", "XDG_RUNTIME_DIR=", "SBX_RUN="+home+"/run", "SBX_OVERLAY="+overlay)
			defer func() {
				if r := e.Run("system", "reset", "-f"); r.Code != 0 {
					t.Errorf("%+v", r)
				}
			}()
			if err := os.WriteFile(filepath.Join(ctx, "Dockerfile"), []byte("FROM small\nCOPY Dockerfile /copied\nRUN echo built >/built && chown 5:5 /built\nRUN rm /copied\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			e.OK("import", os.Getenv("SBX_TEST_BUSYBOX"), "small")
			e.OK("build", "-q", "-t", "image", ctx)
			e.OK("run", "-d", "--name", "box", "-v", "vol:/vol", "image", "sh", "-c", "echo x >/new; exec sleep 1000")
			e.Is("built\n5 5", "exec", "box", "sh", "-c", "cat /built; stat -c '%u %g' /built; ls /copied 2>/dev/null || :")
			e.Eventually("it has written", func() bool { return e.Run("exec", "box", "test", "-e", "/new").Code == 0 })
			if diff := e.OK("diff", "box"); !strings.Contains(diff, "A /new") {
				t.Errorf("diff: %s", diff)
			}
			e.OK("cp", "box:/new", filepath.Join(home, "got"))
			e.OK("network", "create", "lab")
			for _, p := range e.roles()["sbx-keeper"] {
				e.fell(p)
			}
			e.Is("lab", "network", "ls", "-q", "--filter", "name=lab", "--format", "{{.Name}}")
			e.Is("x", "exec", "box", "cat", "/new") // its monitor was found
			e.OK("network", "rm", "lab")
			e.OK("stop", "-t", "0", "box")
			e.OK("cp", filepath.Join(home, "got"), "box:/again")
			e.OK("commit", "-q", "box", "committed")
			e.Is("x", "run", "--rm", "-v", e.Root+":/h", "committed", "cat", "/again")
			e.export(filepath.Join(home, "box.tar"), "box")
			e.OK("save", "-q", "-o", filepath.Join(home, "image.tar"), "image")
			e.OK("rm", "box")
			e.OK("rmi", "image", "committed")
			e.OK("load", "-q", "-i", filepath.Join(home, "image.tar"))
			e.Is("built", "run", "--rm", "image", "cat", "/built")
			if all := doctor(t, func(args ...string) Result { return e.Run(args...) }); all["image store"].Level != "green" || all["overlay"].Level != "green" {
				t.Errorf("%+v", all)
			}
		})
	}
}

func TestFuseOverlayfsRefusesColons(t *testing.T) {
	t.Parallel()
	Need(t, "busybox", "fuse")
	e := Sbx(t)
	e.Extra = append(e.Extra, "SBX_DATA="+e.Data+"/a:b", "SBX_OVERLAY=fuse")
	e.Run("import", os.Getenv("SBX_TEST_BUSYBOX"), "small")
	e.Fails(125, "takes the colon in "+e.Data+"/a:b", "run", "--rm", "small", "true")
	e.OK("system", "reset", "-f")
}
