package pid1

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// identity is who the program runs as.
type identity struct {
	uid, gid int
	groups   []int
	more     bool // some of them were asked for
	keep     bool // those of the caller instead
	home     string
}

// maxAccounts bounds what is read of an image's /etc/passwd or /etc/group.
const maxAccounts = 8 << 20

// lookUp understands Docker's user[:group] in the file system below root: names
// or numbers, which must be in the image's /etc/passwd and /etc/group if they are names. It is strict: what
// is neither is an error, and never root (CVE-2026-30892, CVE-2024-40635). More are
// groups that the user is to have as well, as api.Process has them.
func lookUp(root int, spec string, more []string) (identity, error) {
	who, group, grouped := strings.Cut(spec, ":")
	if grouped && group == "" || strings.Contains(group, ":") {
		return identity{}, userError(spec, "want USER[:GROUP]")
	}
	if who == "" {
		who = "0"
	}
	passwd, err := accounts(root, "/etc/passwd")
	if err != nil {
		return identity{}, err
	}
	groups, err := accounts(root, "/etc/group")
	if err != nil {
		return identity{}, err
	}
	id := identity{home: "/"}
	uid, isNumber, err := numeric(who)
	if err != nil {
		return identity{}, userError(spec, err.Error())
	}
	entry := find(passwd, who, uid, isNumber, 7)
	switch {
	case entry != nil:
		var ok bool
		if id.uid, ok = number(entry[2]); ok {
			id.gid, ok = number(entry[3])
		}
		if !ok {
			return identity{}, userError(spec, "its line in the image's /etc/passwd is broken")
		}
		if entry[5] != "" {
			id.home = entry[5]
		}
	case isNumber:
		id.uid = uid
		if uid == 0 {
			id.home = "/root"
		}
	default:
		return identity{}, userError(spec, "no such user in the image's /etc/passwd")
	}
	switch {
	case grouped:
		if id.gid, err = lookUpGroup(groups, group); err != nil {
			return identity{}, err
		}
	case entry != nil && entry[0] != "":
		id.groups = memberships(groups, entry[0])
	}
	for _, name := range more {
		if name == api.KeepGroups {
			id.keep = true
			continue
		}
		gid, err := lookUpGroup(groups, name)
		if err != nil {
			return identity{}, err
		}
		id.groups, id.more = append(id.groups, gid), true
	}
	return id, nil
}

func lookUpGroup(groups []byte, name string) (int, error) {
	gid, isNumber, err := numeric(name)
	if err != nil {
		return 0, groupError(name, err.Error())
	}
	if isNumber {
		return gid, nil
	}
	entry := find(groups, name, 0, false, 3)
	if entry == nil {
		return 0, groupError(name, "no such group in the image's /etc/group")
	}
	gid, ok := number(entry[2])
	if !ok {
		return 0, groupError(name, "its line in the image's /etc/group is broken")
	}
	return gid, nil
}

func userError(spec, cause string) error {
	return api.Errorf("look up user", strconv.Quote(spec), "%s", cause)
}

func groupError(name, cause string) error {
	return api.Errorf("look up group", strconv.Quote(name), "%s", cause)
}

// numeric says whether s is a number, and refuses one that is no id: uid_t(-1)
// means "leave unchanged" to setresuid(2).
func numeric(s string) (n int, ok bool, err error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false, nil
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || v >= 1<<32-1 {
		return 0, true, errors.New("the number is no user or group id")
	}
	return int(v), true, nil
}

// number is numeric for the image's own files, in which nothing else is valid.
func number(s string) (int, bool) {
	n, ok, err := numeric(s)
	return n, ok && err == nil
}

// find gives the fields of the line of a name, or of an id. A number is never
// taken for a name: an image could call its root 1000.
func find(file []byte, name string, id int, numeric bool, fields int) []string {
	key := name
	if numeric {
		key = strconv.Itoa(id)
	}
	for f := range linesWith(file, key) {
		if len(f) < fields {
			continue
		}
		if !numeric && f[0] == name || numeric && f[2] == key {
			return f
		}
	}
	return nil
}

func memberships(groups []byte, user string) []int {
	var ids []int
	for f := range linesWith(groups, user) {
		if len(f) < 4 || !contains(strings.Split(f[3], ","), user) {
			continue
		}
		if id, ok := number(f[2]); ok {
			ids = append(ids, id)
		}
	}
	return ids
}

// linesWith gives the fields of the lines that hold a text. The others, of which
// an image can have millions, cost no memory.
func linesWith(file []byte, text string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		key := []byte(text)
		for line := range bytes.Lines(file) {
			if bytes.Contains(line, key) && !yield(strings.Split(strings.TrimSuffix(string(line), "\n"), ":")) {
				return
			}
		}
	}
}

// accounts reads a file of the image that could be anything: a link out of the
// root, a FIFO that never answers, a device (CVE-2024-9676). It must be a
// regular file; a missing one is empty.
func accounts(root int, path string) ([]byte, error) {
	fd, err := sys.OpenInRoot(root, path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxAccounts {
		return nil, api.Errorf("read", path, "in the image it is not a regular file of reasonable size").
			WithHint("give the user as a number and repair the image")
	}
	return io.ReadAll(io.LimitReader(f, maxAccounts))
}
