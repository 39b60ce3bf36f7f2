package pid1

import (
	"errors"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
	"sbx/internal/sys"
)

// box is the sandbox while it is being built. The parts that every sandbox needs
// are mounted on directories of our own before anybody asks for a sandbox, and
// moved into the root when that is known: on kernels before 6.15 nothing can be
// mounted on a mount that is itself detached, and no copy made of it.
type box struct {
	ns    Namespaces
	dir   string // holds the mount points root, proc, sys, dev; empty on the host
	proc  int    // descriptors of the mounts
	sys   int
	dev   int
	pts   int
	empty int    // a read-only tmpfs with nothing in it
	null  int    // the host's /dev/null
	root  int    // set by build
	user  string // of the program; set by build
	lacks Lacks
}

// Points are the directories that must exist below the directory given to Main.
var Points = []string{"root", "proc", "sys", "dev", "empty", "stage", LowerPoint}

// LowerPoint is where a mount that is to be below an overlay is mounted while that is made.
const LowerPoint = "lower"

func prepare() (*box, error) {
	b := &box{dir: os.Args[2], root: -1, pts: -1}
	var err error
	if b.ns, err = parseNamespaces(os.Args[1]); err != nil {
		return nil, err
	}
	if own := b.ns.New & OwnStep; own != 0 {
		if err := unix.Unshare(int(own)); err != nil {
			return nil, os.NewSyscallError("unshare", err)
		}
	}
	// Nothing that is mounted here can show on the host: a mount namespace of another
	// user namespace gets its copies as slaves (mount_namespaces(7)). What is shown of
	// the host is made private where it is copied, so that nothing shows here either.
	for _, step := range []func() error{b.masks, b.mountProc, b.mountSys, b.mountDev, b.loopback, b.hostname} {
		if err := step(); errors.Is(err, unix.ENOSPC) {
			// A detached mount counts as a mount namespace. user_namespaces(7).
			return nil, api.Wrap("prepare the mounts", "", err).WithHint("a limit of namespaces is reached (/proc/sys/user/max_*_namespaces): %s", remedy.MaxUserNamespaces().Text)
		} else if err != nil {
			return nil, err
		}
	}
	return b, nil
}

// owns says whether a kind of namespace is not the host's.
func (b *box) owns(flag uint64) bool { return (b.ns.New|b.ns.Joined)&flag != 0 }

// masks opens what hides other things.
func (b *box) masks() error {
	var err error
	if b.null, err = openDevice(filepath.Join("/dev", "null")); err != nil {
		return err
	}
	empty, err := sys.NewMount("tmpfs", sys.RDONLY|sys.NOSUID|sys.NODEV|sys.NOEXEC, [2]string{"mode", "555"}, [2]string{"size", "0"}, [2]string{"nr_inodes", "1"})
	if err != nil {
		return err
	}
	// Attached, because before Linux 6.15 nothing that is detached can be copied.
	b.empty, err = b.point("empty", empty)
	return err
}

// point mounts on one of our directories and gives the descriptor of the mount.
func (b *box) point(name string, mount int) (int, error) {
	if err := sys.AttachAt(mount, unix.AT_FDCWD, filepath.Join(b.dir, name)); err != nil {
		return -1, err
	}
	return mount, nil
}

func (b *box) mountProc() error {
	const attr = sys.NOSUID | sys.NODEV | sys.NOEXEC
	var mount int
	var err error
	if b.owns(unix.CLONE_NEWPID) {
		mount, err = sys.NewMount("proc", attr)
		if errors.Is(err, unix.EPERM) {
			mount, err = b.sharedProc()
		}
	} else if mount, err = sys.CloneTree(unix.AT_FDCWD, "/proc", true); err == nil {
		err = sys.SetAttr(mount, attr, true)
	}
	if errors.Is(err, unix.EPERM) {
		return api.Wrap("mount proc", "", err).WithRemedy(remedy.Proc())
	}
	if err != nil {
		return err
	}
	if b.proc, err = b.point("proc", mount); err != nil {
		return err
	}
	if b.ns.Bare {
		return nil
	}
	return b.cover(b.proc, procMasked, procReadOnly)
}

// sharedProc is what is left where the kernel refuses a new /proc, since in the one
// around us something is covered, as container engines do it: that one, read-only.
// /proc/self is right there, and the numbers are not the sandbox's. Of processes
// outside it shows what anybody may read; more takes capabilities over their user
// namespace, which nobody here has, or writing. mount_namespaces(7).
func (b *box) sharedProc() (int, error) {
	mount, err := sys.CloneTree(unix.AT_FDCWD, "/proc", true)
	if err != nil {
		return -1, err
	}
	b.lacks.Proc = true
	return mount, sys.SetAttr(mount, sys.RDONLY, true)
}

// hostname tries whether the sandbox can have a name of its own. The filter of a
// container around us can forbid it, though the namespace is ours: Docker's and Podman's
// do unless the container has CAP_SYS_ADMIN.
func (b *box) hostname() error {
	if b.ns.New&unix.CLONE_NEWUTS == 0 {
		return nil
	}
	var now unix.Utsname
	if err := unix.Uname(&now); err != nil {
		return os.NewSyscallError("uname", err)
	}
	err := unix.Sethostname([]byte(unix.ByteSliceToString(now.Nodename[:])))
	b.lacks.Hostname = errors.Is(err, unix.EPERM)
	if b.lacks.Hostname {
		return nil
	}
	return os.NewSyscallError("sethostname", err)
}

// As the OCI runtimes do, after Docker: what tells about the host, and what
// changes it. Kernel files that the machine does not have are passed over.
var (
	procMasked = []string{"acpi", "asound", "interrupts", "kcore", "keys", "latency_stats", "sched_debug",
		"scsi", "timer_list", "timer_stats"}
	procReadOnly = []string{"bus", "fs", "irq", "sys", "sysrq-trigger"}
	sysMasked    = []string{"firmware", "devices/virtual/powercap"}
	sysNetwork   = []string{"class/net", "devices/virtual/net"}
)

// cover hides some files and directories of a mount and makes others read-only.
func (b *box) cover(mount int, masked, readOnly []string) error {
	for _, path := range masked {
		target, err := sys.OpenInRoot(mount, path, unix.O_PATH|unix.O_NOFOLLOW)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		err = b.mask(target)
		unix.Close(target)
		if err != nil {
			return err
		}
	}
	for _, path := range readOnly {
		if err := readOnlyPath(mount, path); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return nil
}

// mask covers a file with the host's /dev/null, which is known by its device
// number and not by its name (CVE-2025-31133), and a directory with an empty one.
func (b *box) mask(target int) error {
	var st unix.Stat_t
	if err := unix.Fstat(target, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	from := b.null
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		from = b.empty
	}
	cover, err := sys.CloneTree(from, "", false)
	if err != nil {
		return err
	}
	defer unix.Close(cover)
	return sys.Attach(cover, target)
}

func readOnlyPath(mount int, path string) error {
	target, err := sys.OpenInRoot(mount, path, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer unix.Close(target)
	self, err := sys.CloneTree(target, "", true)
	if err != nil {
		return err
	}
	defer unix.Close(self)
	if err := sys.SetAttr(self, sys.RDONLY, true); err != nil {
		return err
	}
	return sys.Attach(self, target)
}

// mountSys makes /sys. Of a network namespace that is the host's a new sysfs is
// refused, so that the host's own is shown, read-only too.
func (b *box) mountSys() error {
	attr := sys.NOSUID | sys.NODEV | sys.NOEXEC
	if !b.ns.Bare {
		attr |= sys.RDONLY
	}
	if !b.owns(unix.CLONE_NEWNET) {
		return b.hostSys(uint64(attr))
	}
	mount, err := b.newSys(attr)
	if errors.Is(err, unix.EPERM) {
		return b.hostSys(uint64(attr))
	}
	if err != nil {
		return err
	}
	if b.sys, err = b.point("sys", mount); err != nil {
		return err
	}
	if b.ns.Sysfs {
		if err := sys.SetAttr(b.sys, uint64(attr), false); err != nil {
			return err
		}
	}
	if err := b.mountCgroup(attr); err != nil {
		return err
	}
	if b.ns.Bare {
		return nil
	}
	return b.cover(b.sys, sysMasked, nil)
}

// newSys shows the interfaces of the sandbox's network namespace.
func (b *box) newSys(attr int) (int, error) {
	switch {
	case b.ns.Sysfs:
		unix.CloseOnExec(Sysfs)
		return Sysfs, nil
	case b.ns.New&unix.CLONE_NEWNET == 0:
		return -1, unix.EPERM // it is another sandbox's
	}
	return sys.NewMount("sysfs", attr)
}

// hostSys shows the host's /sys, but not its network to who has another one.
func (b *box) hostSys(attr uint64) error {
	mount, err := sys.CloneTree(unix.AT_FDCWD, "/sys", true)
	if err != nil {
		return err
	}
	if err := sys.SetAttr(mount, attr|sys.RDONLY, true); err != nil {
		return err
	}
	if b.sys, err = b.point("sys", mount); err != nil {
		return err
	}
	masked := sysMasked
	if b.owns(unix.CLONE_NEWNET) {
		masked = append(slices.Clone(masked), sysNetwork...)
	}
	if err := b.mountCgroup(int(attr)); err != nil {
		return err
	}
	return b.cover(b.sys, masked, nil)
}

// mountCgroup shows the sandbox's own cgroup as /sys/fs/cgroup, or all of the host's
// with its cgroup namespace, where the host has the unified hierarchy there;
// elsewhere the directory stays empty. Who may write there may divide the cgroup,
// but not change its limits, if the host has mounted it with nsdelegate, as systemd
// does. cgroups(7).
func (b *box) mountCgroup(attr int) error {
	const at = "/sys/fs/cgroup"
	var fs unix.Statfs_t
	if err := unix.Statfs(at, &fs); err != nil || fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return nil
	}
	var mount int
	var err error
	if !b.ns.Bare {
		attr |= sys.RDONLY
	}
	if b.owns(unix.CLONE_NEWCGROUP) {
		mount, err = sys.NewMount("cgroup2", attr)
	} else if mount, err = sys.CloneTree(unix.AT_FDCWD, at, false); err == nil {
		err = sys.SetAttr(mount, uint64(attr|sys.RDONLY), false)
	}
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	return sys.AttachAt(mount, b.sys, "fs/cgroup")
}

// loopback raises lo in a new network namespace. netdevice(7).
func (b *box) loopback() error {
	if b.ns.New&unix.CLONE_NEWNET == 0 {
		return nil
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	defer unix.Close(s)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return os.NewSyscallError("ioctl SIOCSIFFLAGS lo", unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, ifr))
}
