package userns

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Source is where the ids of the supervisor's namespace come from.
type Source string

// The sources of ids. Single maps the user alone: file ownership is squashed.
const (
	Static  Source = "static"  // /etc/subuid and /etc/subgid
	Dynamic Source = "dynamic" // getsubids(1), by way of nsswitch.conf
	Single  Source = "single"
)

// Host is what the choice of a source depends on.
type Host struct {
	UID             int
	Name            string // login name; empty if the uid has none
	Subuid, Subgid  string // contents of /etc/subuid and /etc/subgid
	Nsswitch        string // contents of /etc/nsswitch.conf
	Newuidmap       error  // nil: newuidmap and newgidmap can be run with privilege
	NoNewPrivileges bool   // the process may not gain privilege by execve, prctl(2)
}

// Plan chooses the source of ids. A non-nil error with Single says why there is
// no range and what to do about it: worth telling the user once, not a reason
// to stop.
func Plan(h Host) (Source, *api.Error) {
	const op = "map subordinate ids"
	switch {
	case h.NoNewPrivileges:
		return Single, api.Errorf(op, "", "no_new_privs is set, newuidmap cannot gain privilege").
			WithHint("start the first sbx command outside this sandbox or service")
	case h.Newuidmap != nil:
		return Single, api.Wrap(op, "", h.Newuidmap).
			WithHint("install newuidmap and newgidmap (Debian, Ubuntu: package uidmap; Fedora: shadow-utils)")
	}
	uids := ParseRanges(h.Subuid, h.Name, h.UID)
	gids := ParseRanges(h.Subgid, h.Name, h.UID)
	switch {
	case len(uids) > 0 && len(gids) > 0:
		return Static, nil
	case dynamicSource(h.Nsswitch):
		return Dynamic, nil
	}
	file := "/etc/subuid"
	if len(uids) > 0 {
		file = "/etc/subgid"
	}
	who := h.Name
	if who == "" {
		who = strconv.Itoa(h.UID)
	}
	return Single, api.Errorf(op, "", "%s has no range for %s", file, who).
		WithHint("an administrator can run: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 %s", who)
}

// ThisHost reads what Plan needs. The helpers are looked up in $PATH.
func ThisHost() Host {
	h := Host{
		UID:       os.Getuid(),
		Subuid:    contents("/etc/subuid"),
		Subgid:    contents("/etc/subgid"),
		Nsswitch:  contents("/etc/nsswitch.conf"),
		Newuidmap: errors.Join(privileged("newuidmap"), privileged("newgidmap")),
	}
	// A uid without a passwd entry is normal in CI; lines by uid still work.
	if u, err := user.LookupId(strconv.Itoa(h.UID)); err == nil {
		h.Name = u.Username
	} else {
		h.Name = os.Getenv("USER")
	}
	nnp, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	h.NoNewPrivileges = err == nil && nnp == 1
	return h
}

// contents of a file; one that cannot be read names no range.
func contents(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

// privileged says why a helper cannot write id maps for us: it must be setuid
// root or have CAP_SETUID or CAP_SETGID as a file capability.
func privileged(helper string) error {
	path, err := exec.LookPath(helper)
	if err != nil {
		return api.Errorf("run", helper, "not found in PATH")
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return api.Wrap("stat", path, err)
	}
	if st.Mode&unix.S_ISUID != 0 {
		return nil
	}
	if n, err := unix.Getxattr(path, "security.capability", nil); err == nil && n > 0 {
		return nil
	}
	return api.Errorf("run", path, "neither setuid nor with file capabilities")
}
