package tests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// With the one id of a user without subordinate ids everybody is the caller: keep-id is that,
// with another number, and who asks for another user is told that there is none.
func TestSingleID(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	Need(t, "busybox")
	run := func(args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		// There newuidmap is nobody's.
		c := exec.CommandContext(ctx, "unshare", append([]string{"--user", "--mount", fmt.Sprintf("--map-user=%d", os.Getuid()), fmt.Sprintf("--map-group=%d", os.Getgid()), e.Instance.Sbx()}, args...)...)
		c.Env, c.Dir = e.Env(), e.Home
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := run("import", os.Getenv("SBX_TEST_BUSYBOX"), "box"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dir := filepath.Join(e.Home, "given")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	const who, files = "echo $(id -u):$(id -g)", "echo $(id -u):$(id -g) $(stat -c %u:%g /etc/passwd /x /x/file); touch /x/new"
	uid, gid, _ := myself(t)
	me := uid + ":" + gid
	none := "you have no subordinate id for the user or group"
	for _, c := range []struct {
		want  string
		flags []string
		do    string
	}{
		{"0:0\n", nil, who},
		{me + "\n", []string{"--userns", "keep-id"}, who},
		{"70:71\n", []string{"--userns", "keep-id:uid=70,gid=71"}, who},
		{none, []string{"-u", "70"}, who}, {none, []string{"-u", uid}, who},
		{none, []string{"--userns", "keep-id", "-u", "root"}, who}, {none, []string{"--userns", "keep-id", "-u", "70"}, who},
		{"0:0 0:0 0:0 0:0\n", []string{"-v", dir + ":/x:U"}, files},
		{strings.Join([]string{me, me, me, me}, " ") + "\n", []string{"--userns", "keep-id", "-v", dir + ":/x:U"}, files},
		{strings.Join([]string{me, me, me, me}, " ") + "\n", []string{"--userns", "keep-id", "-v", dir + ":/x:O"}, files},
		{none, []string{"-u", "70", "-v", dir + ":/x:U"}, files},
	} {
		out, err := run(append(append([]string{"run", "--rm", "--network", "none"}, c.flags...), "box", "sh", "-c", c.do)...)
		if refused := c.want == none; refused != (err != nil) || !strings.HasSuffix(out, c.want) && !(refused && strings.Contains(out, none)) {
			t.Errorf("%q: %v: %s", c.flags, err, out)
		}
	}
	for _, name := range []string{"", "file", "new"} {
		if got := own(t, filepath.Join(dir, name)); got != me {
			t.Errorf("%q belongs to %s", name, got)
		}
	}
	if out, err := run("system", "reset", "-f"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
