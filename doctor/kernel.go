package doctor

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
	"sbx/internal/sys"
	"sbx/landlock"
)

// kernel tries what needs no namespace.
func kernel() []api.Finding { return []api.Finding{memfd(), inotify(), rules(), label()} }

// memfd makes the sealed copy that sandboxes start from.
func memfd() api.Finding {
	const name = "executable memory file"
	exe, err := os.Open("/proc/self/exe")
	var copied *os.File
	if err == nil {
		defer exe.Close()
		copied, err = sys.SealedCopy("sbx", exe)
	}
	if err != nil {
		return api.Lacking(api.Red, name, err, "sbx does not start", remedy.Memfd())
	}
	copied.Close()
	return api.Finding{Name: name, Level: api.Green, What: "can be made"}
}

// inotify watches a directory.
func inotify() api.Finding {
	const name = "inotify"
	const lost = "sbx logs --follow asks again and again instead of waiting, and watching programs in sandboxes fail"
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return api.Lacking(api.Yellow, name, os.NewSyscallError("inotify_init", err), lost, remedy.Inotify("max_user_instances", "1024"))
	}
	defer unix.Close(fd)
	if _, err := unix.InotifyAddWatch(fd, "/", unix.IN_CREATE|unix.IN_ONLYDIR); err != nil {
		return api.Lacking(api.Yellow, name, os.NewSyscallError("inotify_add_watch", err), lost, remedy.Inotify("max_user_watches", "524288"))
	}
	return api.Finding{Name: name, Level: api.Green, What: fmt.Sprintf("%s instances and %s watches for all that you run",
		sysctl("fs/inotify/max_user_instances"), sysctl("fs/inotify/max_user_watches"))}
}

// rules asks for the version of Landlock's interface. Nothing depends on it where there
// are user namespaces.
func rules() api.Finding {
	f := api.Finding{Name: "Landlock", Level: api.Green, What: "not there; it would be needed only without user namespaces"}
	if version := landlock.Version(); version > 0 {
		f.What = fmt.Sprintf("version %d of its interface", version)
	}
	return f
}

// label is what the security modules know this process as.
func label() api.Finding {
	f := api.Finding{Name: "security module", Level: api.Green, What: "none labels processes"}
	text, err := os.ReadFile("/proc/self/attr/current")
	switch {
	case err == nil && len(text) > 0:
		f.What = "sbxd runs as " + strings.Trim(string(text), " \n\x00")
	case err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, os.ErrNotExist):
		f.What = err.Error()
	}
	return f
}

// sysctl is the value of a setting; "?" if it cannot be read, as in a container.
func sysctl(name string) string {
	text, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(text))
}
