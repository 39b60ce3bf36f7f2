package delegate

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/cgroup"
	"sbx/internal/remedy"
)

// tree is the cgroup v2 file system, as this process sees it.
type tree struct {
	version string // "2", "1", "hybrid"
	mount   string // where it is mounted
	own     string // directory of the cgroup of this process
	guarded bool   // mount option nsdelegate
}

// findTree reads /proc/self/mountinfo and /proc/self/cgroup.
func findTree() (tree, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return tree{}, err
	}
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return tree{}, err
	}
	t, err := parseTree(mounts, groups)
	if err != nil {
		return t, err
	}
	if _, err := os.Stat(t.own); err != nil {
		return t, &lack{"the cgroup of this process cannot be seen: " + err.Error(), api.Remedy{}}
	}
	return t, nil
}

// parseTree finds the mount that shows the cgroup of this process: a container may
// see only a part of the hierarchy.
func parseTree(mounts, groups []byte) (tree, error) {
	var t tree
	own, ok := ownPath(groups)
	v1 := false
	for line := range bytes.Lines(mounts) {
		m, isMount := parseMount(string(line))
		switch {
		case isMount && m.kind == "cgroup":
			v1 = true
		case isMount && m.kind == "cgroup2" && ok && t.own == "":
			if below, in := within(m.root, own); in {
				t.mount, t.own = m.target, filepath.Join(m.target, below)
				t.guarded = slices.Contains(strings.Split(m.options, ","), "nsdelegate")
			}
		}
	}
	switch {
	case t.own != "" && v1:
		t.version = "hybrid"
	case t.own != "":
		t.version = "2"
	case v1:
		t.version = "1"
		return t, &lack{"the host has cgroups of version 1 only", remedy.CgroupBoot()}
	default:
		return t, &lack{"no cgroup file system is mounted that shows the cgroup of this process", api.Remedy{Text: "mount it at /sys/fs/cgroup"}}
	}
	return t, nil
}

// ownPath is the line "0::/path" of /proc/self/cgroup, cgroups(7).
func ownPath(groups []byte) (string, bool) {
	for line := range bytes.Lines(groups) {
		if path, ok := strings.CutPrefix(strings.TrimSuffix(string(line), "\n"), "0::"); ok {
			return path, strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "/..") && !strings.HasSuffix(path, " (deleted)")
		}
	}
	return "", false
}

// within says where path is below root.
func within(root, path string) (string, bool) {
	if root == "/" {
		return path, true
	}
	below, ok := strings.CutPrefix(path, root)
	return below, ok && (below == "" || below[0] == '/')
}

type mount struct{ root, target, kind, options string }

// parseMount reads a line of proc_pid_mountinfo(5):
// 30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
func parseMount(line string) (mount, bool) {
	before, after, ok := strings.Cut(line, " - ")
	place, fs := strings.Fields(before), strings.Fields(after)
	if !ok || len(place) < 5 || len(fs) < 3 {
		return mount{}, false
	}
	return mount{unescape(place[3]), unescape(place[4]), fs[0], fs[2]}, true
}

// unescape undoes the kernel's way of writing blanks in paths.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace

// divisible gives the cgroup of this process, if the user may make groups in it and
// move this process there. If an earlier sbx has done that, it is the one above.
func (t tree) divisible() (string, bool) {
	if name := filepath.Base(t.own); name == cgroup.Leaf || name == others {
		if above := filepath.Dir(t.own); writable(above) {
			return above, true
		}
	}
	return t.own, writable(t.own)
}

func writable(dir string) bool {
	for _, file := range []string{"", "cgroup.procs", "cgroup.subtree_control"} {
		if unix.Faccessat(unix.AT_FDCWD, filepath.Join(dir, file), unix.W_OK, unix.AT_EACCESS) != nil {
			return false
		}
	}
	return true
}

// words of a file, like those of cgroup.controllers.
func words(dir, file string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(dir, file))
	return strings.Fields(string(text)), err
}

// lacking says why a cgroup does not have a controller.
func (t tree) lacking(driver, home, controller string) cgroup.Lack {
	if has(t.mount, controller) {
		above := t.withholder(home, controller)
		l := cgroup.Lack{Why: "it is not delegated to you: " + above + " does not have it"}
		if driver == cgroup.Systemd {
			l.Remedy = remedy.Delegate()
		} else {
			l.Text = "have the administrator write +" + controller + " to cgroup.subtree_control of " + filepath.Dir(above)
		}
		return l
	}
	switch {
	case t.version == "hybrid":
		return cgroup.Lack{Why: "it is in use by cgroups of version 1", Remedy: remedy.CgroupBoot()}
	case controller == "memory":
		return cgroup.Lack{Why: "the kernel does not offer it", Remedy: api.Remedy{Text: "boot with cgroup_enable=memory"}}
	}
	return cgroup.Lack{Why: "the kernel does not offer it"}
}

func has(dir, controller string) bool {
	list, err := words(dir, "cgroup.controllers")
	return err == nil && slices.Contains(list, controller)
}

// withholder is the highest cgroup on the way to home that does not have the
// controller.
func (t tree) withholder(home, controller string) string {
	for dir := home; ; dir = filepath.Dir(dir) {
		if above := filepath.Dir(dir); len(above) < len(t.mount) || has(above, controller) {
			return dir
		}
	}
}
