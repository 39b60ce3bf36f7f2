package api

import (
	"strconv"
	"strings"
)

// KeepID is the mode of --userns in which the caller keeps its own ids; in others it
// is root. Options follow a colon: "keep-id:uid=1000,gid=100".
const KeepID = "keep-id"

// ParseKeepID reads a mode of --userns. ok is false for "", every other mode but
// keep-id is an error. An id that the mode does not name is -1.
func ParseKeepID(mode string) (uid, gid int, ok bool, err error) {
	uid, gid = -1, -1
	if mode == "" {
		return uid, gid, false, nil
	}
	word, options, more := strings.Cut(mode, ":")
	bad := Errorf("read --userns", mode, "want keep-id, or keep-id:uid=N,gid=N")
	if word != KeepID {
		return uid, gid, false, bad
	}
	if !more {
		return uid, gid, true, nil
	}
	for option := range strings.SplitSeq(options, ",") {
		key, value, _ := strings.Cut(option, "=")
		// The last id is uid_t(-1), which is none.
		id, err := strconv.ParseUint(value, 10, 32)
		if err != nil || id == 1<<32-1 {
			return -1, -1, false, bad
		}
		switch key {
		case "uid":
			uid = int(id)
		case "gid":
			gid = int(id)
		default:
			return -1, -1, false, bad
		}
	}
	return uid, gid, true, nil
}
