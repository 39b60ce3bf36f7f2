package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sbx/api"
)

// hostUser is the caller as a program of the host image is to see itself.
// Supplementary groups are left behind: they would be rights.
func hostUser(c *api.Caller) string { return fmt.Sprintf("%d:%d", c.UID, c.GID) }

// passwdHome is the home directory that /etc/passwd names for a user: $HOME may
// say something else, and both are to be hidden.
func passwdHome(uid int) string {
	f, err := os.Open("/etc/passwd")
	if err != nil {
		return ""
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) == 7 && fields[2] == strconv.Itoa(uid) {
			return fields[5]
		}
	}
	return ""
}

// nameService shows a sandbox on the host's network the host's resolvers and
// names. The host image has them already, unless /etc/resolv.conf is a link into
// /run, which is private there.
func nameService(c *api.Config) []api.Mount {
	var mounts []api.Mount
	for _, path := range []string{"/etc/resolv.conf", "/etc/hosts"} {
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue // the host has none
		}
		target := path
		if c.Image == api.HostImage {
			if real == path {
				continue
			}
			target = real
		}
		if !slices.ContainsFunc(c.Mounts, func(m api.Mount) bool { return filepath.Clean(m.Target) == target }) {
			mounts = append(mounts, api.Mount{Type: "bind", Source: real, Target: target, ReadOnly: true})
		}
	}
	return mounts
}
