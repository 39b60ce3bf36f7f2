package pid1

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
	"sbx/internal/sys"
)

// build makes the root file system and moves into it.
func (b *box) build(spec *Spec) error {
	b.user = spec.Program.User
	if err := b.mountRoot(&spec.Root); err != nil {
		return err
	}
	if spec.Account != nil {
		if err := b.addAccount(spec.Account); err != nil {
			return err
		}
	}
	if spec.ShmSize != 0 {
		if err := b.resizeShm(spec.ShmSize); err != nil {
			return err
		}
	}
	if err := b.fill(spec); err != nil {
		return err
	}
	if err := b.setSysctls(spec.Sysctls); err != nil {
		return err
	}
	if err := b.pivot(); err != nil {
		return err
	}
	if spec.Domain != "" {
		if err := unix.Setdomainname([]byte(spec.Domain)); err != nil {
			e := api.Wrap("setdomainname", spec.Domain, err)
			if errors.Is(err, unix.EPERM) { // see hostname
				e.WithRemedy(remedy.Forbidden())
			}
			return e
		}
	}
	if spec.Hostname != "" && b.ns.New&unix.CLONE_NEWUTS != 0 && !b.lacks.Hostname {
		if err := unix.Sethostname([]byte(spec.Hostname)); err != nil {
			return api.Wrap("sethostname", spec.Hostname, err)
		}
	}
	return nil
}

func (b *box) mountRoot(root *Root) error {
	at := filepath.Join(b.dir, "root")
	switch {
	case root.Host != "":
		return b.mountHost(root, at)
	case root.Mounted:
		return b.attachRoot(at)
	case root.Shown:
		if err := b.attachRoot(filepath.Join(b.dir, LowerPoint)); err != nil {
			return err
		}
	}
	if err := unix.Chdir(root.Dir); err != nil {
		return api.Wrap("chdir", root.Dir, err)
	}
	// userxattr: trusted.overlay.* needs real privilege. Linux 5.11.
	data := "userxattr,lowerdir=" + strings.Join(root.Lower, ":")
	if root.Upper != "" {
		data += ",upperdir=" + root.Upper + ",workdir=" + root.Work
	}
	if root.Volatile {
		data += ",volatile"
	}
	if err := unix.Mount("overlay", at, "overlay", unix.MS_NODEV, data); err != nil {
		return overlayError(root, len(data), err)
	}
	return b.openRoot(at)
}

// attachRoot mounts what has come with the order.
func (b *box) attachRoot(at string) error {
	if b.root < 0 {
		return api.Errorf("mount the root", "", "it has not come with the order")
	}
	return sys.AttachAt(b.root, unix.AT_FDCWD, at)
}

func overlayError(root *Root, size int, err error) error {
	e := api.Wrap("mount overlay", filepath.Join(root.Dir, root.Upper), err)
	switch {
	case size >= os.Getpagesize():
		e.WithHint("the image has %d layers, more than one overlay mount can name", len(root.Lower))
	case errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP):
		e.WithRemedy(remedy.LocalDisk())
	case errors.Is(err, unix.ENOENT):
		e.WithHint("a layer of the image is missing: import it again")
	case errors.Is(err, unix.EPERM):
		e.WithRemedy(remedy.OverlayForbidden())
	}
	return e
}

// mountHost shows a directory of the host as the root: all of it read-only, some
// directories replaced by empty ones that the program may write.
func (b *box) mountHost(root *Root, at string) error {
	tree, err := sys.CloneTree(unix.AT_FDCWD, root.Host, true)
	if err != nil {
		return err
	}
	if err := sys.SetAttr(tree, sys.RDONLY|sys.NOSUID, true); err != nil {
		return err
	}
	if err := sys.AttachAt(tree, unix.AT_FDCWD, at); err != nil {
		return err
	}
	b.root = tree
	slices.Sort(root.Private)
	for _, dir := range root.Private {
		target, err := sys.OpenInRoot(b.root, dir, unix.O_PATH|unix.O_DIRECTORY)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
			continue // nothing there that could be seen
		}
		if err != nil {
			return err
		}
		err = b.private(target)
		unix.Close(target)
		if err != nil {
			return err
		}
	}
	return nil
}

// private covers a directory with an empty one of the same mode.
func (b *box) private(target int) error {
	var st unix.Stat_t
	if err := unix.Fstat(target, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	mount, err := sys.NewMount("tmpfs", sys.NOSUID|sys.NODEV, [2]string{"mode", octal(st.Mode & 0o7777)})
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	return sys.Attach(mount, target)
}

func octal(mode uint32) string {
	digits := []byte("0000")
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] += byte(mode & 7)
		mode >>= 3
	}
	return string(digits)
}

func (b *box) openRoot(at string) error {
	fd, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: at, Err: err}
	}
	b.root = fd
	return nil
}

// fill mounts everything that lies in the root. /proc, /sys and /dev come first
// and then the user's mounts, shallow before deep: a volume at "/" is refused by
// the command line, so nothing can slide under /proc (runc's GHSA-cgrx-mc8f-2prm
// was such an order).
func (b *box) fill(spec *Spec) error {
	for _, m := range []struct {
		mount int
		path  string
	}{{b.proc, "proc"}, {b.sys, "sys"}, {b.dev, "dev"}} {
		if err := b.attachDir(m.mount, m.path); err != nil {
			return err
		}
	}
	order := make([]int, len(spec.Mounts)) // sorting the mounts themselves is 6 kB of code
	for i := range order {
		order[i] = i
	}
	depth := func(i int) int { return strings.Count(filepath.Clean(spec.Mounts[i].Target), "/") }
	slices.SortStableFunc(order, func(x, y int) int { return depth(x) - depth(y) })
	for _, i := range order {
		if err := b.mount(&spec.Mounts[i]); err != nil {
			return err
		}
	}
	if spec.Root.ReadOnly {
		return sys.SetAttr(b.root, sys.RDONLY, false)
	}
	return nil
}

// attachDir moves one of the prepared mounts into the root. An image whose /dev
// or /proc is a symbolic link could make a mount land elsewhere (CVE-2026-41579):
// what is there must be a directory, or nothing.
func (b *box) attachDir(mount int, name string) error {
	target, err := sys.OpenInRoot(b.root, name, unix.O_PATH|unix.O_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		if err := unix.Mkdirat(b.root, name, 0o755); err != nil {
			return &os.PathError{Op: "mkdirat", Path: "/" + name, Err: err}
		}
		target, err = sys.OpenInRoot(b.root, name, unix.O_PATH|unix.O_NOFOLLOW)
	}
	if err != nil {
		return err
	}
	defer unix.Close(target)
	var st unix.Stat_t
	if err := unix.Fstat(target, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return api.Errorf("mount", "/"+name, "in the image it is not a directory").WithHint("the image is broken or hostile: do not use it")
	}
	return sys.Attach(mount, target)
}

// pivot makes the new root the root, and detaches the host's: from here on
// nothing of the host can be named. The second "." is where the old root goes,
// on top of the new one, so that no directory in the image is needed.
// pivot_root(2), NOTES.
func (b *box) pivot() error {
	if err := unix.Fchdir(b.root); err != nil {
		return os.NewSyscallError("fchdir", err)
	}
	if err := unix.PivotRoot(".", "."); errors.Is(err, unix.EPERM) {
		return api.Wrap("pivot_root", "", err).WithRemedy(remedy.Forbidden()) // by Docker's filter, even with CAP_SYS_ADMIN
	} else if err != nil {
		return os.NewSyscallError("pivot_root", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return os.NewSyscallError("umount2", err)
	}
	return os.NewSyscallError("chdir", unix.Chdir("/"))
}
