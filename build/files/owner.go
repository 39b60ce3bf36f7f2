package files

import (
	"os"
	"strconv"
	"strings"

	"sbx/api"
	"sbx/sandbox/pid1"
)

// ids are a user and a group.
type ids struct{ uid, gid int }

// owner is what --chown says. nil changes nothing.
type owner struct{ user, group string }

// parseOwner understands USER[:GROUP], names or numbers. An empty user is root.
func parseOwner(s string) (*owner, error) {
	if s == "" {
		return nil, nil
	}
	o := &owner{}
	var grouped bool
	o.user, o.group, grouped = strings.Cut(s, ":")
	if grouped && o.group == "" || strings.Contains(o.group, ":") || strings.ContainsAny(s, "/\n\x00") {
		return nil, api.Errorf("copy", "--chown="+s, "want USER[:GROUP]")
	}
	for _, part := range []string{o.user, o.group} {
		if _, _, err := id(part); err != nil {
			return nil, api.Errorf("copy", "--chown="+s, "%s", err)
		}
	}
	return o, nil
}

// id says whether a word is a number, and refuses one that is no id.
func id(s string) (n int, ok bool, err error) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false, nil
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil || v >= 1<<32-1 {
		return 0, true, api.Errorf("look up user", s, "the number is no user or group id")
	}
	return int(v), true, nil
}

// lookUp gives the ids. Names are those of the /etc/passwd and /etc/group below root. A
// user without a group has the one of /etc/passwd; of a number it is the same number.
func (o *owner) lookUp(root *os.File) (*ids, error) {
	if o == nil {
		return nil, nil
	}
	var to ids
	n, isNumber, err := id(o.user)
	switch {
	case err != nil:
		return nil, err
	case isNumber:
		to = ids{n, n}
	case o.user != "":
		if to.uid, to.gid, err = pid1.UserNamed(int(root.Fd()), o.user); err != nil {
			return nil, err
		}
	}
	if o.group == "" {
		return &to, nil
	}
	if n, isNumber, err = id(o.group); !isNumber && err == nil {
		n, err = pid1.GroupNamed(int(root.Fd()), o.group)
	}
	to.gid = n
	return &to, err
}
