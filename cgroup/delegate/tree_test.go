package delegate

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sbx/cgroup"
)

const (
	v2mount = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
	v1mount = "31 23 0:27 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n"
)

func TestParseTree(t *testing.T) {
	for name, c := range map[string]struct {
		mounts, groups string
		want           tree
		why            string
	}{
		"systemd": {v2mount, "0::/user.slice/a.scope\n", tree{"2", "/sys/fs/cgroup", "/sys/fs/cgroup/user.slice/a.scope", true}, ""},
		"hybrid": {v1mount + "32 23 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n", "4:memory:/x\n0::/a\n",
			tree{"hybrid", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/a", false}, ""},
		"1":                   {v1mount, "4:memory:/x\n", tree{version: "1"}, "version 1 only"},
		"none":                {"", "0::/a\n", tree{}, "no cgroup file system"},
		"container":           {v2mount, "0::/\n", tree{"2", "/sys/fs/cgroup", "/sys/fs/cgroup", true}, ""},
		"bind mount":          {strings.Replace(v2mount, " / ", " /docker/x ", 1), "0::/docker/x/init\n", tree{"2", "/sys/fs/cgroup", "/sys/fs/cgroup/init", true}, ""},
		"bind mount, outside": {strings.Replace(v2mount, " / ", " /docker/x ", 1), "0::/docker/xy\n", tree{}, "no cgroup file system"},
		"outside namespace":   {v2mount, "0::/../a\n", tree{}, "no cgroup file system"},
		"removed":             {v2mount, "0::/a (deleted)\n", tree{}, "no cgroup file system"},
		"blank in the path":   {strings.Replace(v2mount, "/sys/fs/cgroup", `/c\040g`, 1), "0::/a\n", tree{"2", "/c g", "/c g/a", true}, ""},
	} {
		got, err := parseTree([]byte(c.mounts), []byte(c.groups))
		if got != c.want || (err == nil) != (c.why == "") || err != nil && !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s: got %+v, %v; want %+v", name, got, err, c.want)
		}
	}
}

func FuzzParseTree(f *testing.F) {
	f.Add(v2mount+v1mount, "0::/a\n")
	f.Fuzz(func(t *testing.T, mounts, groups string) {
		tr, err := parseTree([]byte(mounts), []byte(groups))
		if err == nil && (tr.own == "" || tr.version == "") {
			t.Errorf("%+v", tr)
		}
	})
}

// controllers makes a tree of directories with the controllers of each.
func controllers(t *testing.T, dirs map[string]string) tree {
	t.Helper()
	top := t.TempDir()
	for dir, list := range dirs {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, dir, "cgroup.controllers"), []byte(list+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return tree{version: "2", mount: top, own: top}
}

func TestLackingSaysWhoWithholds(t *testing.T) {
	tr := controllers(t, map[string]string{"": "cpu io memory", "a": "cpu memory", "a/b": "cpu"})
	home := filepath.Join(tr.mount, "a/b")
	l := tr.lacking(cgroup.Writable, home, "io")
	if !strings.HasSuffix(l.Why, "/a does not have it") || !strings.HasSuffix(l.Text, "+io to cgroup.subtree_control of "+tr.mount) {
		t.Errorf("%+v", l)
	}
	if l = tr.lacking(cgroup.Writable, home, "memory"); !strings.HasSuffix(l.Why, "/a/b does not have it") {
		t.Errorf("%+v", l)
	}
	l = tr.lacking(cgroup.Systemd, home, "io")
	if !strings.Contains(l.Text, `'[Service]\nDelegate=cpu cpuset io memory pids\n' >/etc/systemd/system/user@.service.d/delegate.conf`) {
		t.Errorf("%+v", l)
	}
	if l = tr.lacking(cgroup.Systemd, home, "pids"); l.Why != "the kernel does not offer it" || l.Text != "" {
		t.Errorf("%+v", l)
	}
	tr.version = "hybrid"
	if l = tr.lacking(cgroup.Writable, home, "pids"); !strings.Contains(l.Why, "version 1") {
		t.Errorf("%+v", l)
	}
}

// What a service manager says ends up on one line of a terminal.
func TestNoneIsOneLine(t *testing.T) {
	h := tree{}.none(errors.New("bad\n\x1b[31mthing"))
	if h.Why != "bad [31mthing" || h.Exists() {
		t.Errorf("%q", h.Why)
	}
}
