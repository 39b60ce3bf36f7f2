package userns

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
)

// Diagnose says why the namespaces of the supervisor could not be made, as far
// as the kernel's settings tell.
func Diagnose(err error) *api.Error {
	e := api.Wrap("create namespaces", "", err)
	if why, r := restriction(err, setting); r.Text != "" {
		e.Hint, e.Namespaceless = why+": "+r.Text, why != tooMany
	}
	return e
}

// NoNewPrivileges is why there are no namespaces where prctl(2) PR_SET_NO_NEW_PRIVS
// holds: a new process in them gets its capabilities by execve(2), which gives none any
// more.
func NoNewPrivileges() *api.Error {
	e := api.Errorf("create namespaces", "", "no_new_privs is set, so that no program gains capabilities, not even in a user namespace")
	e.Namespaceless = true
	return e.WithHint("start the first sbx command outside this sandbox or service; later ones work in it, too")
}

// tooMany is a limit that is reached: one of those that others have may go.
const tooMany = "too many user namespaces, or they are nested too deep"

// restriction is what forbids user namespaces, given the error of making one and the
// kernel's settings, and what to do about it; nothing, if that cannot be told.
func restriction(err error, setting func(name string) string) (why string, r api.Remedy) {
	switch {
	case errors.Is(err, unix.ENOSPC) && setting("user/max_user_namespaces") == "0":
		return "user namespaces are off", remedy.MaxUserNamespaces()
	case errors.Is(err, unix.ENOSPC):
		return tooMany, remedy.MaxUserNamespaces()
	case errors.Is(err, fs.ErrPermission) && setting("kernel/unprivileged_userns_clone") == "0":
		return "user namespaces are off for ordinary users", remedy.UserNamespaceClone()
	case errors.Is(unix.Access("/proc/self/uid_map", unix.W_OK), unix.EROFS):
		return "/proc is read-only, and id maps are written there", remedy.Proc()
	case setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
		// The namespace is made, but without capabilities: what fails is a
		// later step, in a helper, and only its exit status is known.
		return "AppArmor forbids user namespaces to unknown programs, and sbxd needs a profile", remedy.AppArmor(self())
	case errors.Is(err, fs.ErrPermission):
		return "user namespaces are forbidden", remedy.Forbidden()
	}
	return "", api.Remedy{}
}

// self is the path of this program, as AppArmor sees it.
func self() string {
	exe, err := os.Executable()
	if err != nil {
		return "/usr/local/libexec/sbx/sbxd"
	}
	return exe
}

// setting is a sysctl's value; empty if the kernel has none of that name.
func setting(name string) string {
	return strings.TrimSpace(contents("/proc/sys/" + name))
}
