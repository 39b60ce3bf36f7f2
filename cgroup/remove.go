package cgroup

import (
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Kill kills all processes of the group and of groups below it, a fork bomb
// included, and frozen ones. It does not wait for their end: Remove does.
func (g Group) Kill() error {
	err := write(g.Path, "cgroup.kill", "1") // Linux 5.14
	if err == unix.ENOENT && g.there() {
		return g.killEach()
	}
	if err != nil {
		return g.explain("write", "cgroup.kill", err)
	}
	return nil
}

// killEach is Kill for older kernels: what is frozen does not fork, and dies.
func (g Group) killEach() error {
	if err := write(g.Path, "cgroup.freeze", "1"); err != nil {
		return g.explain("write", "cgroup.freeze", err)
	}
	end := time.Now().Add(removePatience)
	for {
		pids, err := g.Pids()
		if err != nil {
			return err
		}
		for _, pid := range pids {
			if pid <= 0 {
				continue // of no use here, and all processes to kill(2)
			}
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && err != unix.ESRCH {
				return g.explain("kill a process of", "", err)
			}
		}
		const again = 20 * time.Millisecond // for one that was being born
		err = g.await("populated", 0, again)
		if err == unix.ETIMEDOUT && time.Now().Before(end) {
			continue
		}
		if err != nil {
			return g.explain("kill the processes of", "", err)
		}
		return nil
	}
}

// Remove removes the group with groups that the sandbox has made in it, and those
// above it that this makes empty (--cgroup-parent). It waits a few seconds for
// processes that are about to die. It is no error if the group is gone.
func (g Group) Remove() error {
	end := time.Now().Add(removePatience)
	for {
		err := unix.Rmdir(g.Path)
		switch {
		case err == nil, err == unix.ENOENT:
			return g.removeParents()
		case err != unix.EBUSY && err != unix.EINTR:
			return g.explain("remove the cgroup", "", err)
		case time.Now().After(end):
			return g.stuck()
		}
		switch err := g.await("populated", 0, time.Until(end)); err {
		case nil, unix.ENOENT, unix.ENODEV:
		case unix.ETIMEDOUT:
			return g.stuck()
		default:
			return g.explain("remove the cgroup", "", err)
		}
		err = walk(g.Path, func(dir string) error { return unix.Rmdir(dir) })
		switch err {
		case nil, unix.ENOENT, unix.ENODEV:
		case unix.EBUSY: // one that has died is still counted for a moment
			time.Sleep(time.Millisecond)
		default:
			return g.explain("remove the cgroup", "", err)
		}
	}
}

// stuck says who is still there.
func (g Group) stuck() error {
	pids, err := g.Pids()
	if err != nil {
		return err
	}
	e := api.Wrap("remove the cgroup", g.Path, unix.EBUSY)
	if len(pids) > 0 {
		e.WithHint("process %d is still in it: see ps -o pid,stat,wchan -p %d", pids[0], pids[0])
	}
	return e
}

func (g Group) removeParents() error {
	if g.home == "" {
		return nil
	}
	for dir := filepath.Dir(g.Path); len(dir) > len(g.home); dir = filepath.Dir(dir) {
		switch err := unix.Rmdir(dir); err {
		case nil:
		case unix.EBUSY, unix.ENOENT: // others are in it; or have just removed it
			return nil
		default:
			return api.Wrap("remove the cgroup", dir, err)
		}
	}
	return nil
}
