package pid1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// devices are the host's that every sandbox has: none of them gives access to
// anything.
var devices = []string{"null", "zero", "full", "random", "urandom", "tty"}

var devLinks = [][2]string{
	{"ptmx", "pts/ptmx"},
	{"fd", "/proc/self/fd"},
	{"stdin", "/proc/self/fd/0"},
	{"stdout", "/proc/self/fd/1"},
	{"stderr", "/proc/self/fd/2"},
	{"core", "/proc/kcore"},
}

// mountDev makes /dev: a small tmpfs, device nodes bound from the host (nobody
// can make one in a user namespace), and terminals, shared memory and message
// queues of the sandbox's own.
func (b *box) mountDev() error {
	mount, err := sys.NewMount("tmpfs", sys.NOSUID|sys.NOEXEC, b.owned([2]string{"mode", "755"}, [2]string{"size", "65536k"})...)
	if err != nil {
		return err
	}
	if b.dev, err = b.point("dev", mount); err != nil {
		return err
	}
	for _, name := range devices {
		if err := b.bindDevice(name); err != nil {
			return err
		}
	}
	if b.ns.Devices {
		if err := b.hostDevices(); err != nil {
			return err
		}
	}
	for _, l := range devLinks {
		if err := unix.Symlinkat(l[1], b.dev, l[0]); err != nil {
			return &os.PathError{Op: "symlinkat", Path: "/dev/" + l[0], Err: err}
		}
	}
	if err := b.mountPts(); err != nil {
		return err
	}
	return b.mountIPC()
}

// owned adds to the options of a tmpfs that root owns it, where that is not who mounts
// it.
func (b *box) owned(options ...[2]string) [][2]string {
	if !b.ns.Kept {
		return options
	}
	return append([][2]string{{"uid", "0"}, {"gid", "0"}}, options...)
}

// openDevice opens a device node of the host, and takes nothing else for one.
func openDevice(path string) (int, error) {
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, &os.PathError{Op: "fstat", Path: path, Err: err}
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFCHR && kind != unix.S_IFBLK {
		return -1, api.Errorf("bind", path, "it is not a device")
	}
	if path == "/dev/null" && st.Rdev != unix.Mkdev(1, 3) {
		return -1, api.Errorf("bind", path, "it is not the null device (1:3)")
	}
	return fd, nil
}

func (b *box) bindDevice(name string) error {
	node, err := openDevice(filepath.Join("/dev", name))
	if err != nil {
		return err
	}
	defer unix.Close(node)
	tree, err := sys.CloneTree(node, "", false)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	file, err := unix.Openat(b.dev, name, unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, 0o666)
	if err != nil {
		return &os.PathError{Op: "create", Path: "/dev/" + name, Err: err}
	}
	defer unix.Close(file)
	return sys.Attach(tree, file)
}

// hostDevices binds every device that the user can open on the host: --privileged.
func (b *box) hostDevices() error {
	for _, dir := range []string{"", "net", "dri"} {
		entries, err := os.ReadDir(filepath.Join("/dev", dir))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if dir != "" {
			if err := unix.Mkdirat(b.dev, dir, 0o755); err != nil {
				return &os.PathError{Op: "mkdirat", Path: "/dev/" + dir, Err: err}
			}
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if e.Type()&os.ModeDevice == 0 || unix.Access("/dev/"+name, unix.R_OK|unix.W_OK) != nil {
				continue
			}
			// console and tty*, ptmx are the caller's terminals, or replaced.
			if name == "ptmx" || name == "console" || contains(devices, name) {
				continue
			}
			if err := b.bindDevice(name); err != nil {
				return err
			}
		}
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

// mountPts makes terminals that the host's programs never see. Group 5 is tty in
// every distribution; where it is not mapped the kernel refuses it.
func (b *box) mountPts() error {
	options := [][2]string{{"newinstance", ""}, {"ptmxmode", "0666"}, {"mode", "620"}, {"gid", "5"}}
	mount, err := sys.NewMount("devpts", sys.NOSUID|sys.NOEXEC, options...)
	if errors.Is(err, unix.EINVAL) {
		mount, err = sys.NewMount("devpts", sys.NOSUID|sys.NOEXEC, options[:3]...)
	}
	if err != nil {
		return err
	}
	b.pts = mount
	return b.devMount("pts", mount, 0o755)
}

// mountIPC makes /dev/shm and /dev/mqueue, which belong to the ipc namespace.
func (b *box) mountIPC() error {
	const attr = sys.NOSUID | sys.NODEV | sys.NOEXEC
	for _, m := range []struct {
		name, fstype string
		options      [][2]string
	}{
		{"shm", "tmpfs", b.owned([2]string{"mode", "1777"}, [2]string{"size", "65536k"})},
		{"mqueue", "mqueue", nil},
	} {
		var mount int
		var err error
		if b.ns.New&unix.CLONE_NEWIPC != 0 {
			mount, err = sys.NewMount(m.fstype, attr, m.options...)
		} else if mount, err = sys.CloneTree(unix.AT_FDCWD, "/dev/"+m.name, true); errors.Is(err, os.ErrNotExist) {
			continue
		} else if err == nil {
			err = sys.SetAttr(mount, attr, true)
		}
		if err != nil {
			return fmt.Errorf("/dev/%s: %w", m.name, err)
		}
		if err := b.devMount(m.name, mount, 0o755); err != nil {
			return err
		}
		unix.Close(mount)
	}
	return nil
}

// resizeShm gives /dev/shm, which was made before it was known how large it is to
// be, its size in bytes.
func (b *box) resizeShm(size int64) error {
	if err := sys.Reconfigure(b.dev, "shm", [2]string{"size", strconv.FormatInt(size, 10)}); err != nil {
		return api.Wrap("resize", "/dev/shm", err)
	}
	return nil
}

func (b *box) devMount(name string, mount int, mode uint32) error {
	if err := unix.Mkdirat(b.dev, name, mode); err != nil {
		return &os.PathError{Op: "mkdirat", Path: "/dev/" + name, Err: err}
	}
	return sys.AttachAt(mount, b.dev, name)
}
