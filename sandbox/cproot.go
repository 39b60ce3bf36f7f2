package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/fuse-overlay"
	"sbx/image"
	"sbx/internal/dirs"
	"sbx/internal/sys"
	"sbx/sandbox/pid1"
)

// innerRoot is the root directory of a sandbox, with everything that is mounted in
// it.
type innerRoot struct {
	f     *os.File // O_PATH
	ns    *os.File // the mount namespace: without it the mounts below the root would go
	clean func()   // when it is closed; may be nil
	// What ids in the sandbox are here, and the other way round; nil: the same.
	owner, named image.Owner
}

func (r *innerRoot) Close() {
	r.f.Close()
	r.ns.Close()
	if r.clean != nil {
		r.clean()
	}
}

// inNamespace runs enter on a thread of its own, which it takes into a mount
// namespace and into the root directory there.
func inNamespace(enter func() error) (*innerRoot, error) {
	type result struct {
		r   *innerRoot
		err error
	}
	done := make(chan result)
	go func() {
		// Never unlocked: the thread, with its namespace and directory, ends here.
		runtime.LockOSThread()
		r, err := enterRoot(enter)
		done <- result{r, err}
	}()
	got := <-done
	return got.r, got.err
}

func enterRoot(enter func() error) (*innerRoot, error) {
	// In the namespace /proc may be another one, in which we are not.
	task, err := os.Open(fmt.Sprintf("/proc/self/task/%d", unix.Gettid()))
	if err != nil {
		return nil, err
	}
	defer task.Close()
	if err := enter(); err != nil {
		return nil, err
	}
	ns, err := unix.Openat(int(task.Fd()), "ns/mnt", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "ns/mnt", Err: err}
	}
	f, err := unix.Open(".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		unix.Close(ns)
		return nil, &os.PathError{Op: "open", Path: "/", Err: err}
	}
	return &innerRoot{f: os.NewFile(uintptr(f), "/"), ns: os.NewFile(uintptr(ns), "mnt")}, nil
}

// enterProgram goes into the mount namespace of a program, and to its root: not to
// that of the program, which may have called chroot. That a pidfd names the
// namespace makes it the right one, whatever has become of the program's number.
func enterProgram(pidfd int) error {
	// A thread that shares its directories with others cannot enter one. setns(2).
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := unix.Setns(pidfd, unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("setns", err)
	}
	return os.NewSyscallError("chdir", unix.Chdir("/"))
}

// openInner opens the root of a sandbox that is held.
func (s *Supervisor) openInner(h *hold, path string, write bool) (*innerRoot, error) {
	var r *innerRoot
	var err error
	if h.pidfd >= 0 {
		r, err = inNamespace(func() error { return enterProgram(h.pidfd) })
		if errors.Is(err, unix.ESRCH) {
			err = errEnded
		}
	} else {
		r, err = s.openStopped(h, path, write)
	}
	if err != nil {
		return nil, err
	}
	if uids, gids := s.otherOwners(&h.config); uids != nil || gids != nil {
		r.owner, r.named = translate(uids, gids), translate(uids.Inverse(), gids.Inverse())
	}
	return r, nil
}

// openStopped opens the root of one that does not run.
func (s *Supervisor) openStopped(h *hold, path string, write bool) (*innerRoot, error) {
	c := &h.config
	if c.ImageID == "" {
		return nil, api.Errorf("copy", c.Name, "it does not run, and its root is the host's own file system").
			WithHint("start it, or copy on the host")
	}
	mounts := append(s.hostMounts(c), s.ownFilesOf(c)...)
	if err := reachable(c, mounts, path); err != nil {
		return nil, err
	}
	own := "../../../sandboxes/" + c.ID
	lower := append(slices.Clone(c.Layers), "../../../base")
	at, release, err := s.showImage(c)
	if err != nil {
		return nil, err
	}
	defer release()
	if at != "" {
		lower = []string{s.shownLower(c)}
	}
	var data string
	if write {
		// Volatile: what is copied is no safer on the disk than any other file, and a
		// sync of the whole disk at the end would be the most of it.
		data = "userxattr,volatile,lowerdir=" + strings.Join(lower, ":") + ",upperdir=" + own + "/upper,workdir=" + own + "/work"
	} else {
		data = "userxattr,index=off,lowerdir=" + strings.Join(append([]string{own + "/upper"}, lower...), ":")
	}
	if write {
		if err := s.unmarkVolatile(c.ID); err != nil {
			return nil, err
		}
	}
	var flags uintptr = unix.MS_NODEV
	if !write || c.Isolation.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	attach := func() error { return mountAt(s.links(), s.points, data, flags) }
	if c.Driver == fuseoverlay.Program {
		root, err := s.mountStopped(c, lower, write)
		if err != nil {
			return nil, err
		}
		defer root.Close()
		attach = func() error { return sys.AttachAt(int(root.Fd()), unix.AT_FDCWD, s.points) }
	}
	r, err := inNamespace(func() error { return enterStopped(s.points, attach, mounts) })
	if err != nil {
		return nil, err
	}
	if write {
		r.clean = func() {
			if err := s.unmarkVolatile(c.ID); err != nil {
				s.Log.Warn("tidy after a copy", "id", shortID(c.ID), "error", err)
			}
		}
	}
	return r, nil
}

// ownFilesOf are the files below /etc that the sandbox had when it ran.
func (s *Supervisor) ownFilesOf(c *api.Config) []api.Mount {
	var mounts []api.Mount
	for _, name := range ownFiles {
		path := s.ownFile(c.ID, name)
		if _, err := os.Lstat(path); err == nil {
			mounts = append(mounts, api.Mount{Type: "bind", Source: path, Target: "/etc/" + name})
		}
	}
	return mounts
}

// unmarkVolatile makes it possible to mount a volatile overlay once more, see renew.
func (s *Supervisor) unmarkVolatile(id string) error {
	dir := filepath.Join(s.Dirs.Sandboxes(), id)
	if err := os.RemoveAll(filepath.Join(dir, "work", "work", "incompat")); err != nil {
		return dirs.DiskError("remove", dir, err)
	}
	return nil
}

// reachable refuses paths to what a sandbox has only while it runs.
func reachable(c *api.Config, mounts []api.Mount, path string) error {
	clean := filepath.Clean("/" + path)
	for _, m := range mounts {
		target := filepath.Clean("/" + m.Target)
		what := passing(&m)
		if what != "" && (clean == target || strings.HasPrefix(clean, target+"/")) {
			return api.Errorf("copy", c.Name+":"+path, "%s is mounted at %s while it runs, and it does not run", what, target).
				WithHint("start it, or copy to another place")
		}
	}
	return nil
}

// passing says what is mounted if there is nothing of it while the sandbox does not run.
func passing(m *api.Mount) string {
	switch {
	case m.Type == api.MountTmpfs:
		return "a tmpfs"
	case m.ImageID != "":
		return "an image"
	case overlaid(m):
		return "an overlay"
	}
	return ""
}

// mountAt mounts an overlay. Names in data are relative to dir, where the thread goes.
func mountAt(dir, at, data string, flags uintptr) error {
	if err := unix.Chdir(dir); err != nil {
		return &os.PathError{Op: "chdir", Path: dir, Err: err}
	}
	if err := unix.Mount("overlay", at, "overlay", flags, data); err != nil {
		return &os.PathError{Op: "mount overlay", Path: at, Err: err}
	}
	return nil
}

// enterStopped has attach mount the file system of a sandbox that does not run, and
// mounts its binds, in a namespace of its own.
func enterStopped(at string, attach func() error, mounts []api.Mount) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return &os.PathError{Op: "make private", Path: "/", Err: err}
	}
	if err := attach(); err != nil {
		return err
	}
	if err := unix.Chdir(at); err != nil {
		return &os.PathError{Op: "chdir", Path: at, Err: err}
	}
	root, err := unix.Open(".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: at, Err: err}
	}
	defer unix.Close(root)
	slices.SortStableFunc(mounts, func(x, y api.Mount) int {
		return strings.Count(filepath.Clean(x.Target), "/") - strings.Count(filepath.Clean(y.Target), "/")
	})
	for i := range mounts {
		if err := attachStopped(root, &mounts[i]); err != nil {
			return err
		}
	}
	return nil
}

// attachStopped mounts what the sandbox has at a place, as it would be there if it
// ran: a bind, or of what is lost at its end an empty place that nobody can write to.
func attachStopped(root int, m *api.Mount) error {
	target, err := sys.OpenInRoot(root, m.Target, unix.O_PATH)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil // it was never started: nothing of it can be named
	}
	if err != nil {
		return err
	}
	defer unix.Close(target)
	var tree int
	if passing(m) != "" {
		tree, err = sys.NewMount("tmpfs", sys.RDONLY|sys.NOSUID|sys.NODEV)
	} else {
		tree, err = pid1.BindTree(m)
	}
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	return sys.Attach(tree, target)
}
