package cgroup

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Group is the cgroup of one sandbox. It holds nothing open.
type Group struct {
	Path string // directory
	home string // Home.Path, if it lies there
}

// File opens the group's directory for CLONE_INTO_CGROUP, clone(2): a process that
// is born in a group need not be moved, which waits for a grace period of the
// kernel. Both the group and the cgroup of who clones must be below a Home.
func (g Group) File() (*os.File, error) {
	f, err := os.OpenFile(g.Path, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, g.explain("open the cgroup", "", err)
	}
	return f, nil
}

// Set makes limits take effect: see Home.Plan. It stops at the first that cannot be set.
func (g Group) Set(plan []Write) error {
	for _, w := range plan {
		if err := g.set(w); err != nil {
			return g.explain("set", w.File, err)
		}
	}
	return nil
}

func (g Group) set(w Write) error {
	err := write(g.Path, w.File, w.Value)
	if err != unix.ENOENT {
		return err
	}
	if w.Else != nil {
		return g.set(*w.Else)
	}
	if w.Free && g.there() {
		return nil
	}
	return err
}

func (g Group) there() bool {
	var st unix.Stat_t
	return unix.Stat(g.Path, &st) == nil
}

// write writes to a file of a cgroup, in one write(2) as the kernel wants it. The
// error is an errno.
func write(dir, file, value string) error {
	fd, err := retry(func() (int, error) { return unix.Open(dir+"/"+file, unix.O_WRONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return err
	}
	_, err = retry(func() (int, error) { return unix.Write(fd, []byte(value)) })
	unix.Close(fd)
	return err
}

func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// read reads a file of a cgroup. These are short, but for cgroup.procs.
func read(dir, file string) ([]byte, error) {
	text, err := os.ReadFile(dir + "/" + file)
	if err != nil {
		return nil, errno(err)
	}
	return text, nil
}

// errno is what package os has wrapped.
func errno(err error) error {
	var number unix.Errno
	if errors.As(err, &number) {
		return number
	}
	return err
}

// value finds a key in a file of lines "key number". The error is an errno.
func value(dir, file, key string) (uint64, error) {
	text, err := read(dir, file)
	if err != nil {
		return 0, err
	}
	return find(text, key)
}

func find(text []byte, key string) (uint64, error) {
	for line := range bytes.Lines(text) {
		if k, v, _ := strings.Cut(string(bytes.TrimSpace(line)), " "); k == key {
			return strconv.ParseUint(v, 10, 64)
		}
	}
	return 0, unix.ENOENT
}

// Populated says whether there is a process in the group or below. A zombie is
// none.
func (g Group) Populated() (bool, error) { return g.event("populated") }

// Frozen says whether all its processes have stopped.
func (g Group) Frozen() (bool, error) { return g.event("frozen") }

func (g Group) event(key string) (bool, error) {
	n, err := value(g.Path, "cgroup.events", key)
	if err != nil {
		return false, g.explain("read", "cgroup.events", err)
	}
	return n == 1, nil
}

// OOMKills is how many processes of the group the kernel has killed for want of
// memory. A group without the memory controller has none.
func (g Group) OOMKills() (uint64, error) {
	n, err := value(g.Path, "memory.events", "oom_kill")
	if err == unix.ENOENT && g.there() {
		return 0, nil
	}
	if err != nil {
		return 0, g.explain("read", "memory.events", err)
	}
	return n, nil
}

// How long what the kernel does by itself may take: a process that writes to a
// network file system can neither freeze nor die before its server answers.
const (
	freezePatience = 10 * time.Second
	removePatience = 3 * time.Second
)

// Freeze stops all processes of the group, or lets them go on, and waits until that
// is so. A group that does not stop within ten seconds goes on, with an error.
func (g Group) Freeze(on bool) error {
	text, want := "0", uint64(0)
	if on {
		text, want = "1", 1
	}
	if err := write(g.Path, "cgroup.freeze", text); err != nil {
		return g.explain("write", "cgroup.freeze", err)
	}
	err := g.await("frozen", want, freezePatience)
	if err == unix.ETIMEDOUT && on {
		err = errors.Join(api.Errorf("freeze the cgroup", g.Path, "a process in it has not stopped within %v", freezePatience).
			WithHint("it may wait for a disk or a network file system; see ps -o pid,stat,wchan"), write(g.Path, "cgroup.freeze", "0"))
	} else if err != nil {
		err = g.explain("read", "cgroup.events", err)
	}
	return err
}

// await waits until a key of cgroup.events has a value. The error is an errno,
// ETIMEDOUT among them.
func (g Group) await(key string, want uint64, patience time.Duration) error {
	f, err := os.OpenFile(g.Path+"/cgroup.events", unix.O_RDONLY, 0)
	if err != nil {
		return errno(err)
	}
	defer f.Close()
	end := time.Now().Add(patience)
	text := make([]byte, 256)
	for {
		n, err := retry(func() (int, error) { return unix.Pread(int(f.Fd()), text, 0) })
		if err != nil {
			return err
		}
		got, err := find(text[:n], key)
		if err != nil || got == want {
			return err
		}
		left := time.Until(end)
		if left <= 0 {
			return unix.ETIMEDOUT
		}
		// The file is ready once it has changed since it was read.
		fds := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLPRI}}
		if _, err := unix.Poll(fds, int(left.Milliseconds())+1); err != nil && err != unix.EINTR {
			return err
		}
	}
}

// Has says whether a process is in the group or below. One that is not has been
// moved by somebody else, and no limit holds it.
func (g Group) Has(pid int) (bool, error) {
	pids, err := g.Pids()
	for _, p := range pids {
		if p == pid {
			return true, nil
		}
	}
	return false, err
}

// Pids are the processes of the group and of groups below it, as the caller's pid
// namespace numbers them; 0 stands for each that it does not know.
func (g Group) Pids() ([]int, error) {
	var pids []int
	err := walk(g.Path, func(dir string) error {
		text, err := read(dir, "cgroup.procs")
		if err == unix.EOPNOTSUPP {
			return nil // threads of processes that are listed further up
		}
		for word := range bytes.FieldsSeq(text) {
			pid, err := strconv.Atoi(string(word))
			if err != nil {
				return err
			}
			pids = append(pids, pid)
		}
		return err
	})
	if err != nil {
		return pids, g.explain("read", "cgroup.procs", err)
	}
	return pids, nil
}

// walk calls visit for dir and all directories below it, the deepest first. What
// is removed meanwhile is left out; dir itself must be there.
func walk(dir string, visit func(dir string) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return errno(err)
	}
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		err := walk(filepath.Join(dir, entry.Name()), visit)
		if err != nil && err != unix.ENOENT && err != unix.ENODEV {
			return err
		}
	}
	return visit(dir)
}

// explain says what an error of a group means. file is one of the group, or empty.
func (g Group) explain(op, file string, err error) error {
	e := api.Wrap(op, filepath.Join(g.Path, file), err)
	gone := errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENODEV)
	switch {
	case gone && !g.there():
		e.Msg = "the cgroup is gone"
		return e.WithHint("something else has removed it; the sandbox must be started again to have one")
	case gone:
		controller, _, _ := strings.Cut(file, ".")
		e.Msg = "the cgroup has no such file"
		return e.WithHint("the kernel does not have it, or the %s controller has been withdrawn: see sbx info", controller)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM), errors.Is(err, unix.EROFS):
		return e.WithHint("the cgroup is no longer yours")
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ERANGE):
		return e.WithHint("the kernel does not take this value")
	}
	return e
}
