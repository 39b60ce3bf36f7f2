package delegate

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/cgroup"
)

// divide makes path a home: this process goes to its leaf, and every controller
// that can be had is enabled for what is below.
func (t tree) divide(driver, unit, path string) cgroup.Home {
	h := cgroup.Home{Driver: driver, Version: t.version, Path: path, Unit: unit, Guarded: t.guarded, Missing: map[string]cgroup.Lack{}}
	leaf := filepath.Join(path, cgroup.Leaf)
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return t.none(api.Wrap("make the cgroup", leaf, errno(err)))
	}
	if err := join(leaf); err != nil {
		return t.none(api.Wrap("move to the cgroup", leaf, err))
	}
	offered, err := words(path, "cgroup.controllers")
	if err != nil {
		return t.none(err)
	}
	for _, controller := range cgroup.Wanted {
		if !slices.Contains(offered, controller) {
			h.Missing[controller] = t.lacking(driver, path, controller)
		} else if err := enable(path, controller); err != nil {
			h.Missing[controller] = cgroup.Lack{Why: "enable it in " + path + ": " + err.Error()}
		} else {
			h.Controllers = append(h.Controllers, controller)
		}
	}
	// A sandbox that can make groups could nest them as deep as it likes, and whoever
	// removes them must follow. A cgroup whose owner is another has no such limit.
	const deepest = "32"
	if err := put(path, "cgroup.max.depth", deepest); err != nil && !errors.Is(err, os.ErrPermission) {
		return t.none(api.Wrap("limit the depth of", path, err))
	}
	return h
}

// enable gives a controller to the children of dir. A cgroup that does so has no
// processes: where others are in it, as in that of a container, they get a leaf of
// their own.
func enable(dir, controller string) error {
	err := put(dir, "cgroup.subtree_control", "+"+controller)
	if err != unix.EBUSY {
		return err
	}
	if err := evacuate(dir, filepath.Join(dir, others)); err != nil {
		return err
	}
	return put(dir, "cgroup.subtree_control", "+"+controller)
}

// others is the leaf for processes that were in the cgroup before sbx.
const others = "sbx-others"

// evacuate moves all processes of a cgroup to a leaf. They may fork meanwhile.
func evacuate(dir, leaf string) error {
	if err := os.Mkdir(leaf, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return errno(err)
	}
	const rounds = 10
	for range rounds {
		pids, err := words(dir, "cgroup.procs")
		if err != nil || len(pids) == 0 {
			return err
		}
		for _, pid := range pids {
			if pid == "0" {
				return errors.New("processes of another pid namespace are in it")
			}
			if err := put(leaf, "cgroup.procs", pid); err != nil && err != unix.ESRCH {
				return err
			}
		}
	}
	return errors.New("processes in it fork faster than they can be moved")
}

// join moves this process to a cgroup.
func join(dir string) error { return put(dir, "cgroup.procs", strconv.Itoa(os.Getpid())) }

// put writes to a file of a cgroup. The error is an errno.
func put(dir, file, value string) error {
	f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0)
	if err != nil {
		return errno(err)
	}
	_, err = f.WriteString(value)
	if e := f.Close(); err == nil {
		err = e
	}
	return errno(err)
}

// errno is what package os has wrapped.
func errno(err error) error {
	var number unix.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}
