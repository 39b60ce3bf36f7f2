package userns

import (
	"errors"
	"io/fs"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Diagnose says why the namespaces of the supervisor could not be made, as far
// as the kernel's settings tell.
func Diagnose(err error) *api.Error {
	e := api.Wrap("create namespaces", "", err)
	if hint := hint(err, setting); hint != "" {
		e.Hint = hint
	}
	return e
}

func hint(err error, setting func(name string) string) string {
	switch {
	case errors.Is(err, unix.ENOSPC) && setting("user/max_user_namespaces") == "0":
		return "user namespaces are off: an administrator can run sysctl user.max_user_namespaces=28633"
	case errors.Is(err, unix.ENOSPC):
		return "raise sysctl user.max_user_namespaces, or the nesting of user namespaces is too deep"
	case errors.Is(err, fs.ErrPermission) && setting("kernel/unprivileged_userns_clone") == "0":
		return "user namespaces are off for ordinary users: an administrator can run sysctl kernel.unprivileged_userns_clone=1"
	case setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
		// The namespace is made, but without capabilities: what fails is a
		// later step, in a helper, and only its exit status is known.
		return "AppArmor forbids user namespaces to unknown programs: install an AppArmor profile for sbxd, or run sysctl kernel.apparmor_restrict_unprivileged_userns=0"
	case errors.Is(err, fs.ErrPermission):
		return "a seccomp filter or a security module forbids user namespaces here; inside a container allow clone and unshare"
	}
	return ""
}

// setting is a sysctl's value; empty if the kernel has none of that name.
func setting(name string) string {
	return strings.TrimSpace(contents("/proc/sys/" + name))
}
