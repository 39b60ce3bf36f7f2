// Package remedy has what to do about the things that a machine lacks, in the one
// wording that errors end with and that sbx doctor prints.
package remedy

import (
	"os"
	"strconv"
	"strings"

	"sbx/api"
)

// root is a command line that takes an administrator.
func root(command string) api.Remedy {
	return api.Remedy{Text: "as root: " + command, Root: command}
}

// sysctl sets a variable of the kernel; what an administrator runs lasts.
func sysctl(name, value string) api.Remedy {
	r := root("sysctl -w " + name + "=" + value)
	r.Root += "\necho " + name + "=" + value + " >/etc/sysctl.d/60-sbx-" + name[strings.LastIndexByte(name, '.')+1:] + ".conf"
	return r
}

// managers of packages, and how they install.
var managers = []struct{ path, install string }{
	{"/usr/bin/apt-get", "apt-get install -y "},
	{"/usr/bin/dnf", "dnf install -y "},
	{"/usr/bin/zypper", "zypper install -y "},
	{"/usr/bin/pacman", "pacman -S --noconfirm "},
	{"/sbin/apk", "apk add "},
}

// install gets a package, by whatever installs them here. Its name is the first, or
// what it is called with a manager: "uidmap", "dnf:shadow-utils".
func install(name string, others ...string) api.Remedy {
	for _, m := range managers {
		if _, err := os.Stat(m.path); err != nil {
			continue
		}
		word, _, _ := strings.Cut(m.path[strings.LastIndexByte(m.path, '/')+1:], "-")
		for _, other := range others {
			if special, ok := strings.CutPrefix(other, word+":"); ok {
				name = special
			}
		}
		return api.Remedy{Text: "install the package " + name + " (as root: " + m.install + name + ")", Root: m.install + name}
	}
	return api.Remedy{Text: "install the package " + name}
}

// Quote makes one word of s for a shell.
func Quote(s string) string {
	plain := func(r rune) bool {
		return r == '/' || r == '.' || r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func uid() string { return strconv.Itoa(os.Getuid()) }
