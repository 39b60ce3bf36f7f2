package userns

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
)

// Source is where the ids of the supervisor's namespace come from.
type Source string

// The sources of ids. Single maps the user alone: file ownership is squashed.
const (
	Static  Source = "static"  // /etc/subuid and /etc/subgid
	Dynamic Source = "dynamic" // getsubids(1), by way of nsswitch.conf
	Single  Source = "single"
	Root    Source = "root" // Host.Given
)

// Host is what the choice of a source depends on.
type Host struct {
	UID             int
	Name            string // login name; empty if the uid has none
	Subuid, Subgid  string // contents of /etc/subuid and /etc/subgid
	Nsswitch        string // contents of /etc/nsswitch.conf
	Newuidmap       error  // nil: newuidmap and newgidmap can be run with privilege
	NoNewPrivileges bool   // the process may not gain privilege by execve, prctl(2)
	// Maps of the user namespace that the process is in; empty: every id exists there.
	UIDs, GIDs []Extent
	// Given are the ids of a process that has been root's, see Become.
	Given *Given
}

// Plan chooses the source of ids. A non-nil error with Single says why there is
// no range and what to do about it: worth telling the user once, not a reason
// to stop.
func Plan(h Host) (Source, *api.Error) {
	source, why, r := choose(h)
	if why != nil {
		why.WithRemedy(r)
	}
	return source, why
}

// choose gives the remedy apart from the reason.
func choose(h Host) (Source, *api.Error, api.Remedy) {
	const op = "map subordinate ids"
	switch {
	case h.Given != nil:
		return Root, nil, api.Remedy{}
	case h.UID == 0:
		return Single, api.Wrap(op, "", errOnlyRoot), api.Remedy{Text: "give the container more ids, and these capabilities"}
	case h.NoNewPrivileges:
		return Single, api.Errorf(op, "", "no_new_privs is set, newuidmap cannot gain privilege"),
			api.Remedy{Text: "start the first sbx command outside this sandbox or service"}
	case h.Newuidmap != nil:
		return Single, api.Wrap(op, "", h.Newuidmap), helperRemedy(h.Newuidmap)
	}
	uids := ParseRanges(h.Subuid, h.Name, h.UID)
	gids := ParseRanges(h.Subgid, h.Name, h.UID)
	switch {
	case len(uids) > 0 && len(gids) > 0:
		// As in a container, whose /etc/subuid says what is not true there.
		if r, ok := absent(uids, h.UIDs, gids, h.GIDs); ok {
			return Single, api.Errorf(op, "", "%d to %d do not exist in the user namespace that this is", r.Start, r.Start+r.Length-1),
				api.Remedy{Text: "give the container more ids, and ranges of them in /etc/subuid and /etc/subgid"}
		}
		return Static, nil, api.Remedy{}
	case dynamicSource(h.Nsswitch):
		return Dynamic, nil, api.Remedy{}
	}
	var files []string
	if len(uids) == 0 {
		files = append(files, "/etc/subuid")
	}
	if len(gids) == 0 {
		files = append(files, "/etc/subgid")
	}
	who := h.Name
	if strings.IndexFunc(who, odd) >= 0 || who == "" {
		who = strconv.Itoa(h.UID)
	}
	return Single, api.Errorf(op, "", "%s has no range for %s", files[0], who),
		remedy.SubordinateIDs(who, unused(h.Subuid, h.Subgid), usualLength, files...)
}

// absent finds a range that has ids which do not exist.
func absent(uids []Range, uidMap []Extent, gids []Range, gidMap []Extent) (Range, bool) {
	for _, r := range uids {
		if !exists(r, uidMap) {
			return r, true
		}
	}
	for _, r := range gids {
		if !exists(r, gidMap) {
			return r, true
		}
	}
	return Range{}, false
}

// exists says whether a map has all ids of a range, in one piece: newuidmap(1) cannot
// write one that crosses a border.
func exists(r Range, extents []Extent) bool {
	within := func(e Extent) bool { return e.Inside <= r.Start && r.Start+r.Length <= e.Inside+e.Length }
	return len(extents) == 0 || slices.ContainsFunc(extents, within)
}

// odd says of a character of a name that a line by number is less trouble.
func odd(r rune) bool {
	return r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
}

// usualLength is how many ids useradd(8) gives to a user, from firstUsual on.
const (
	usualLength = 65536
	firstUsual  = 100000
)

// unused is where a range can begin that nobody has yet. Two users with the same ids
// could read each other's files.
func unused(files ...string) int {
	start := firstUsual
	for _, file := range files {
		for line := range strings.Lines(file) {
			owner, _, ok := strings.Cut(line, ":")
			if !ok {
				continue
			}
			for _, r := range ParseRanges(line, owner, -1) {
				start = max(start, r.Start+r.Length)
			}
		}
	}
	return start
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
	// Where they cannot be read, newuidmap will say what is wrong.
	if uids, gids, err := Mapping(); err == nil {
		h.UIDs, h.GIDs = uids, gids
	}
	if g, err := given(); err == nil {
		h.Given = g
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

// helperError is a helper that cannot write id maps for us.
type helperError struct {
	reason *api.Error
	remedy api.Remedy
}

func (e *helperError) Error() string { return e.reason.Error() }

func (e *helperError) Unwrap() error { return e.reason }

// privileged says why a helper cannot write id maps for us: it must be setuid
// root or have CAP_SETUID or CAP_SETGID as a file capability.
func privileged(helper string) error {
	path, err := exec.LookPath(helper)
	if err != nil {
		return &helperError{api.Errorf("run", helper, "not found in PATH"), remedy.Newuidmap()}
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return api.Wrap("stat", path, err)
	}
	var fs unix.Statfs_t
	switch err := unix.Statfs(path, &fs); {
	case err != nil:
		return api.Wrap("statfs", path, err)
	case fs.Flags&unix.ST_NOSUID != 0:
		return &helperError{api.Errorf("run", path, "its file system is mounted nosuid"),
			api.Remedy{Text: "have it mounted without nosuid, or newuidmap and newgidmap installed elsewhere in PATH"}}
	case st.Uid != 0:
		// Also in a user namespace without the root of the file system.
		return &helperError{api.Errorf("run", path, "it does not belong to root, but to uid %d", st.Uid),
			api.Remedy{Text: "start sbx outside of this user namespace or container, or give that one root and more ids"}}
	}
	if st.Mode&unix.S_ISUID != 0 {
		return nil
	}
	if n, err := unix.Getxattr(path, "security.capability", nil); err == nil && n > 0 {
		return nil
	}
	dir := filepath.Dir(path)
	return &helperError{api.Errorf("run", path, "neither setuid nor with file capabilities"),
		remedy.UnprivilegedNewuidmap(filepath.Join(dir, "newuidmap"), filepath.Join(dir, "newgidmap"))}
}

// helperRemedy says how to get helpers that work: an installation that has lost their
// privilege, as a copy of a file system does, gets it back.
func helperRemedy(err error) api.Remedy {
	var e *helperError
	if errors.As(err, &e) {
		return e.remedy
	}
	return remedy.Newuidmap()
}
