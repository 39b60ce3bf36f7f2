package main

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"

	"sbx/internal/dirs"
	"sbx/sandbox/keeper"
)

// setEnviron makes the environment of everything that is started from here. What
// the user's environment says about the user's session has been left out by the
// command line; here goes what an outer service manager, or an outer sbx, means
// for one process only.
func setEnviron(d dirs.Dirs, self string) error {
	var errs []error
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "_") || strings.HasPrefix(name, "LISTEN_") || name == "NOTIFY_SOCKET" || name == getsubidsEnv {
			errs = append(errs, os.Unsetenv(name))
		}
	}
	// A uid without a name, as a container gives, is no reason not to start: rootlesskit
	// asks os/user, which is content with these.
	for name, value := range map[string]string{"USER": strconv.Itoa(os.Getuid()), "HOME": "/"} {
		if os.Getenv(name) == "" {
			errs = append(errs, os.Setenv(name, value))
		}
	}
	errs = append(errs,
		os.Setenv("PATH", withSystemDirs(os.Getenv("PATH"))),
		// In the namespace the user is uid 0, so nobody could find them again.
		os.Setenv("SBX_DATA", d.Data),
		os.Setenv("SBX_RUN", d.Run),
		os.Setenv(keeper.SupervisorEnv, self),
	)
	return errors.Join(errs...)
}

// withSystemDirs adds to a user's search path where distributions keep ip,
// newuidmap and pasta.
func withSystemDirs(path string) string {
	var dirs []string
	if path != "" {
		dirs = strings.Split(path, ":")
	}
	for _, dir := range []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"} {
		if !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return strings.Join(dirs, ":")
}
