package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// parseDevice reads --device DEVICE[:TARGET][:PERMISSIONS]. It is a bind: what a device
// allows whom in the sandbox is what it allows you, since only root may allow less.
func parseDevice(text string, groups []string) (api.Mount, error) {
	const flag = "--device"
	parts := strings.Split(text, ":")
	source := parts[0]
	m := api.Mount{Type: api.MountBind, Source: filepath.Clean(source), Target: source}
	permissions := ""
	switch {
	case len(parts) == 2 && !strings.HasPrefix(parts[1], "/"):
		permissions = parts[1]
	case len(parts) == 2:
		m.Target = parts[1]
	case len(parts) == 3:
		m.Target, permissions = parts[1], parts[2]
	case len(parts) > 3:
		return m, invalid(flag, text, "expected DEVICE[:TARGET]")
	}
	switch {
	case !filepath.IsAbs(source) && strings.Contains(source, "="):
		return m, refused(flag+" "+quote(source), "sbx reads no CDI files; give the devices themselves")
	case !filepath.IsAbs(source):
		return m, invalid(flag, text, "the device is not an absolute path")
	case permissions != "" && strings.Trim(permissions, "rwm") != "":
		return m, invalid(flag, text, "expected permissions of r, w and m")
	case permissions != "" && !(strings.Contains(permissions, "r") && strings.Contains(permissions, "w")):
		return m, invalid(flag, text, "only root can allow less of a device than you may yourself: leave the permissions out")
	}
	if err := checkDevice(flag, text, m.Source, groups); err != nil {
		return m, err
	}
	m, err := settleMount(flag, text, m, nil)
	m.Options = api.OptDevice
	return m, err
}

// checkDevice refuses what is no device, and one that nobody in the sandbox could open.
func checkDevice(flag, text, path string, groups []string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return invalid(flag, text, err.Error())
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if real, err := filepath.EvalSymlinks(path); err != nil || !strings.HasPrefix(real, "/dev/") {
			return invalid(flag, text, "a directory of devices is one below /dev; use --volume for others")
		}
		return nil // each of them has its own owner
	case unix.S_IFCHR, unix.S_IFBLK:
	default:
		return invalid(flag, text, "it is no device; use --volume")
	}
	if unix.Access(path, unix.R_OK) != nil && unix.Access(path, unix.W_OK) != nil {
		return invalid(flag, text, "you may neither read nor write it, and who is in a sandbox of yours may no more than you")
	}
	others := st.Mode&0o006 != 0
	if !others && int(st.Uid) != os.Getuid() && int(st.Gid) != os.Getgid() && !slices.Contains(groups, api.KeepGroups) {
		return invalid(flag, text, "you may open it as a member of group "+strconv.Itoa(int(st.Gid))+" only: add --group-add keep-groups")
	}
	return nil
}
