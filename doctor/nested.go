package doctor

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
	"sbx/internal/sys"
	"sbx/userns"
)

// What nested prints about what it did without.
const (
	lacksProc     = "proc "
	lacksHostname = "hostname "
)

// nestedFinding tries the namespaces of a sandbox.
func nestedFinding() api.Finding {
	const name = "sandbox namespaces"
	cmd := probe(context.Background(), roleNested)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}}, GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: 0, Size: 1}},
		Pdeathsig: unix.SIGKILL,
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return lacking(name, out.String())
	case errors.As(err, &exit):
		why := api.Errorf("mount", "", "%s", strings.Join(strings.Fields(errs.String()), " "))
		return api.Lacking(api.Red, name, why, "no sandbox can be started", remedy.Forbidden())
	}
	f := userns.Restricted(err)
	f.Name = name
	return f
}

// lacking is the finding on namespaces that can be made, and lack something.
func lacking(name, lacks string) api.Finding {
	f := api.Finding{Name: name, Level: api.Green, What: "can be made, with a /proc of their own"}
	if strings.Contains(lacks, lacksHostname) {
		f.Level, f.Remedy = api.Yellow, remedy.Forbidden()
		f.What, f.Lost = "can be made, without a host name of their own", "sandboxes have the container's host name"
	}
	if strings.Contains(lacks, lacksProc) {
		const lost = "/proc in a sandbox is read-only and lists the processes around it, by names and arguments, not its own"
		f.Level, f.Remedy, f.What = api.Yellow, remedy.Proc(), "can be made, without a /proc of their own"
		f.Lost = strings.TrimPrefix(f.Lost+"; "+lost, "; ")
	}
	return f
}

// nested does what a sandbox does first.
func nested() error {
	fd, err := sys.NewMount("proc", sys.NOSUID|sys.NODEV|sys.NOEXEC)
	if errors.Is(err, unix.EPERM) {
		if fd, err = sys.CloneTree(unix.AT_FDCWD, "/proc", true); err == nil {
			_, err = os.Stdout.WriteString(lacksProc)
		}
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Sethostname([]byte("sbx")); errors.Is(err, unix.EPERM) {
		_, err = os.Stdout.WriteString(lacksHostname)
		if err != nil {
			return err
		}
	} else if err != nil {
		return os.NewSyscallError("sethostname", err)
	}
	return pivot()
}

// pivot leaves the host's files, for good.
func pivot() error {
	fd, err := sys.NewMount("tmpfs", sys.NODEV)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// A directory that is always there.
	if err := sys.AttachAt(fd, unix.AT_FDCWD, "/proc"); err != nil {
		return err
	}
	if err := unix.Fchdir(fd); err != nil {
		return os.NewSyscallError("fchdir", err)
	}
	return os.NewSyscallError("pivot_root", unix.PivotRoot(".", "."))
}

// settings is what networks lack where theirs are read-only, whoever asks.
func settings() []api.Finding {
	var fs unix.Statfs_t
	if unix.Statfs("/proc/sys/net", &fs) != nil || fs.Flags&unix.ST_RDONLY == 0 {
		return nil
	}
	return []api.Finding{{Name: "network settings", Level: api.Yellow, What: "/proc/sys/net is read-only",
		Lost: "networks have no IPv6, and connections to the outside are slower", Remedy: remedy.Proc()}}
}
