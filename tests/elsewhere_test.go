package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// foreignHome is a home directory on a file system of a program's, as sshfs or NFS give
// one: no owner but the user, no attributes.
func (e *Env) foreignHome(options ...string) string {
	e.t.Helper()
	Need(e.t, "bindfs", "busybox", "overlay")
	top := e.t.TempDir()
	from, at := filepath.Join(top, "from"), filepath.Join(top, "home")
	for _, dir := range []string{from, at} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			e.t.Fatal(err)
		}
	}
	c := exec.Command("bindfs", append(options, "-f", "--no-allow-other", from, at)...)
	if err := c.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		if err := output("fusermount3", "-u", "-z", at); err != nil {
			e.t.Error(err)
		}
		if err := c.Process.Kill(); err != nil && c.ProcessState == nil {
			e.t.Log(err) // it ends when it is unmounted
		}
		_ = c.Wait()
	})
	e.Eventually("it is mounted", func() bool { return output("mountpoint", "-q", at) == nil })
	e.Extra = append(e.Extra, "SBX_DATA=", "XDG_DATA_HOME=", "HOME="+at)
	return at
}

func local() string { return fmt.Sprintf("/var/tmp/sbx-%d", os.Getuid()) }

// keptElsewhere goes through the life of data that are not in the home directory.
func keptElsewhere(t *testing.T, run func(args ...string) Result, home string) {
	must := func(want string, args ...string) Result {
		t.Helper()
		r := run(args...)
		if r.Code != 0 || want != "" && strings.TrimSpace(r.Out) != want {
			t.Fatalf("sbx %q: %+v, want %q", args, r, want)
		}
		return r
	}
	note := "sbx: note: the file system of " + home + "/.local/share/sbx cannot hold images"
	if r := must("", "import", os.Getenv("SBX_TEST_BUSYBOX"), "small"); !strings.Contains(r.Err, note) || !strings.Contains(r.Err, local()) || !strings.Contains(r.Err, "SBX_DATA") {
		t.Errorf("%+v has no note", r)
	}
	if r := must("0 0", "run", "--name", "box", "small", "sh", "-c", "echo kept >/f; stat -c '%u %g' /f"); strings.Contains(r.Err, note) {
		t.Errorf("%+v: the note comes once", r)
	}
	must("x", "run", "--rm", "-v", "vol:/v", "small", "sh", "-c", "echo x >/v/x; cat /v/x")
	must("0 0", "start", "-a", "box")
	if left, err := filepath.Glob(home + "/.local/share/sbx/storage"); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestHomeWithoutOwnersKeepsDataElsewhere(t *testing.T) {
	if _, err := os.Lstat(local()); err == nil {
		t.Skipf("%s is in use", local())
	}
	e := Sbx(t)
	home := e.foreignHome("--chown-deny", "--xattr-none")
	defer func() {
		if r := e.Run("system", "reset", "-f"); r.Code != 0 {
			t.Errorf("%+v", r)
		}
		if err := os.RemoveAll(local()); err != nil {
			t.Error(err)
		}
	}()
	keptElsewhere(t, func(args ...string) Result { return e.Run(args...) }, home)
	st, err := os.Stat(local())
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", st, err)
	}
	// The next supervisor, also one without the runtime directory's memory, finds them.
	for _, p := range e.roles()["supervisor"] {
		e.fell(p)
	}
	if r := e.Run("images", "-q"); len(strings.Fields(r.Out)) != 1 {
		t.Errorf("images: %+v", r)
	}
	if r := e.Run("info"); !strings.Contains(r.Out, local()) {
		t.Errorf("info does not say where: %s", r.Out)
	}
	// Who names a place gets that one.
	before := e.Extra
	defer func() { e.Extra = before }()
	e.Extra = append(slices.Clone(e.Extra), "SBX_RUN="+e.Instance.Run+"2", "SBX_DATA="+home+"/named")
	if r := e.Run("import", os.Getenv("SBX_TEST_BUSYBOX"), "small"); r.Code != 0 || r.Err != "" || exists(home+"/named/storage") != nil {
		t.Errorf("a named place: %+v", r)
	}
	if r := e.Run("system", "reset", "-f"); r.Code != 0 {
		t.Errorf("%+v", r)
	}
}

// /var/tmp is everybody's: what somebody else has put there is not used. The home
// directory is, for the images that it can hold.
func TestLocalPlaceOfSomebodyElse(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ setup, cause string }{
		"a link":         {"mkdir -m 700 /var/tmp/theirs; ln -s theirs " + local(), "symbolic link"},
		"a file":         {": >" + local(), "not a directory"},
		"not sticky":     {"chmod 777 /var/tmp", "rename"},
		"also a bad one": {"mount -t tmpfs -o ro,mode=700 x /var/tmp", "read-only"},
	} {
		t.Run(name, func(t *testing.T) {
			e := Sbx(t)
			home := e.foreignHome("--xattr-none")
			j := e.jail("mount -t tmpfs -o mode=1777 x /var/tmp; " + c.setup)
			r := j.Run(nil, "import", os.Getenv("SBX_TEST_BUSYBOX"), "small")
			log, err := os.ReadFile(home + "/.local/share/sbx/sbxd.log")
			if r.Code != 0 || r.Err != "" || exists(home+"/.local/share/sbx/storage") != nil || err != nil || !strings.Contains(string(log), c.cause) {
				t.Errorf("%+v\n%s", r, log)
			}
			if r := j.sh(nil, "ls", "/var/tmp/theirs"); r.Out != "" {
				t.Errorf("%+v", r)
			}
		})
	}
}

// The same without subordinate ids.
func TestHomeWithoutAttributesKeepsDataElsewhere(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	home := e.foreignHome("--xattr-none")
	j := e.jail("mount -t tmpfs -o mode=1777 x /var/tmp")
	keptElsewhere(t, func(args ...string) Result { return j.Run(nil, args...) }, home)
	if r := j.Run(nil, "system", "reset", "-f"); r.Code != 0 {
		t.Errorf("%+v", r)
	}
	if r := j.sh(nil, "ls", local()); strings.Contains(r.Out, "storage") || strings.Contains(r.Out, "sandboxes") {
		t.Errorf("left: %+v", r)
	}
}
