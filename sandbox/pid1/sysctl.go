package pid1

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
	"sbx/internal/sys"
)

// setSysctls writes settings below /proc/sys, of namespaces that are the sandbox's own:
// the kernel takes no others from its user namespace. In the sandbox's own /proc they are
// read-only, so that it is another one.
func (b *box) setSysctls(settings map[string]string) error {
	if len(settings) == 0 {
		return nil
	}
	proc, err := sys.NewMount("proc", sys.NOSUID|sys.NODEV|sys.NOEXEC)
	if errors.Is(err, unix.EPERM) {
		return api.Wrap("mount proc for --sysctl", "", err).WithRemedy(remedy.Proc())
	}
	if err != nil {
		return err
	}
	defer unix.Close(proc)
	for name, value := range settings {
		if err := setSysctl(proc, name, value); err != nil {
			return err
		}
	}
	return nil
}

func setSysctl(proc int, name, value string) error {
	fd, err := sys.OpenInRoot(proc, "sys/"+strings.ReplaceAll(name, ".", "/"), unix.O_WRONLY)
	if err == nil {
		_, err = unix.Write(fd, []byte(value))
		unix.Close(fd)
	}
	if err == nil {
		return nil
	}
	var errno unix.Errno
	errors.As(err, &errno)
	e := api.Wrap("set sysctl", name+"="+value, errno)
	switch errno {
	case unix.ENOENT:
		e.WithHint("in the sandbox the kernel has no setting of that name")
	case unix.EACCES, unix.EPERM:
		e.WithHint("this kernel lets only the machine's administrator change it")
	case unix.EINVAL:
		e.WithHint("the kernel does not take that value")
	}
	return e
}
