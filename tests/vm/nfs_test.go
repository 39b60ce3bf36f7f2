package vm

import (
	"regexp"
	"strings"
	"testing"
)

// A home directory on a real NFS, as sites have it: version 4.2, and root is nobody. What
// images need of a file system it has not, so that they are elsewhere; binds of it work.
func TestHomeOnNFS(t *testing.T) {
	m := up(t)
	m.OK("root", `install -d -m 755 /srv/homes /mnt/homes && install -d -m 700 -o dev -g dev /srv/homes/dev
		systemctl start nfs-server && exportfs -i -o rw,no_subtree_check,fsid=1 127.0.0.1:/srv/homes && mount -t nfs4 127.0.0.1:/srv/homes /mnt/homes`)
	defer m.OK("root", "umount -l /mnt/homes; exportfs -u 127.0.0.1:/srv/homes; systemctl stop nfs-server; rm -rf /srv/homes")
	m.OK("dev", "sbx system reset -f") // it serves for another home
	const env = "export HOME=/mnt/homes/dev; cd; "
	run := func(line string) Result { return m.Run("dev", env+line) }
	is := func(want, line string) {
		t.Helper()
		if r := run(line); r.Code != 0 || r.Err != "" || strings.TrimSuffix(r.Out, "\n") != want {
			t.Errorf("%s: %+v, want %q", line, r, want)
		}
	}
	is("nfs", "stat -f -c %T .")
	r := run("sbx import /opt/sbx-tests/busybox.tar busybox")
	if r.Code != 0 || !strings.Contains(r.Err, "note: the file system of /mnt/homes/dev/.local/share/sbx cannot hold images") || !strings.Contains(r.Err, "/var/tmp/sbx-1000") {
		t.Fatalf("import: %+v", r)
	}
	is("33 33", "sbx run --rm busybox sh -c 'echo x >/f && chown 33:33 /f && stat -c \"%u %g\" /f'")
	is("x", "sbx run --rm -v data:/v busybox sh -c 'echo x >/v/f; cat /v/f'")

	// Root is nobody on the server, and the sandbox's root is you.
	is("made", `sbx run --rm -v "$PWD:/src" -w /src busybox sh -c 'mkdir -p d && echo made >d/f' && cat d/f`)
	is("dev dev", "stat -c '%U %G' d/f")
	is("more", `sbx run --rm --userns keep-id -v "$PWD:/src" -w /src busybox sh -c 'echo more >d/f' && cat d/f`)
	is("here", "cd d && sbx run --rm --here host sh -c 'echo here >g; cat g'")
	is("read-only", `sbx run --rm -v "$PWD:/src:ro" busybox sh -c 'echo x 2>/dev/null >/src/x || echo read-only'`)
	is("kept\nmore", `sbx run --rm -v "$PWD/d:/src:O" busybox sh -c 'echo kept >/src/f; cat /src/f' && cat d/f`)
	if r := run(`sbx run --rm -v "$PWD/d:/src:U" -u 5 busybox true`); r.Code == 0 || strings.Count(r.Err, "\n") != 1 || !strings.Contains(r.Err, "operation not permitted") {
		t.Errorf("a change of owners that the server refuses: %+v", r)
	}
	is("FROM busybox", `printf 'FROM busybox\nCOPY . /context\nRUN chown 5 /context/d/g\n' >Dockerfile && sbx build -q -t image . >/dev/null && sbx run --rm image head -n 1 /context/Dockerfile`)
	is("5", "sbx run --rm image stat -c %u /context/d/g")
	is("more", "sbx create --name box busybox true >/dev/null && sbx cp d box:/ && sbx cp box:/d/f copied && cat copied && sbx rm box >/dev/null")
	is("1", "sbx save -q -o image.tar image && sbx rmi image >/dev/null && sbx load -q -i image.tar >/dev/null && sbx images -q image | wc -l")

	// Who names the place gets it, and hears what it cannot do.
	const named = "export SBX_RUN=$XDG_RUNTIME_DIR/named SBX_DATA=$HOME/named; "
	if r := run(named + "sbx import /opt/sbx-tests/busybox.tar busybox && sbx run --rm busybox sh -c 'echo x >/f; chown 33:33 /f || mv /bin/vi /bin/iv && stat -c %u /f'"); r.Code != 0 || !strings.HasSuffix(r.Out, "\n0\n") || r.Err != "chown: /f: Operation not permitted\n" {
		t.Errorf("a data directory on it: %+v", r)
	}
	if r := run(named + "sbx doctor"); r.Code != 0 || !regexp.MustCompile(`(?m)^yellow +image store +chown to a subordinate id /mnt/homes/dev/named/`).MatchString(r.Out) {
		t.Errorf("doctor: %+v", r)
	}
	run(named + "sbx system reset -f")
	if r := run("sbx doctor"); r.Code != 0 || !strings.Contains(r.Out, "/var/tmp/sbx-1000") {
		t.Errorf("doctor: %+v", r)
	} else if !regexp.MustCompile(`(?m)^green +way out +pasta$`).MatchString(r.Out) {
		t.Errorf("AppArmor lets pasta write in the runtime directory, and not in /var/tmp: %s", r.Out)
	}
	is("", "sbx system reset -f; ls -A /var/tmp/sbx-1000 2>/dev/null")
}
