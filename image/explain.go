package image

import (
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// longest is where a message of the storage library is cut: it may repeat names
// from the archive.
const longest = 400

// explain makes one line of an error of the storage library.
func explain(err error) *api.Error {
	msg := output(err.Error())
	known := []struct {
		errno unix.Errno
		hint  string
	}{
		{unix.ENOSPC, "free some space or inodes (df, df -i), or set SBX_DATA to a directory elsewhere"},
		{unix.EDQUOT, "delete files of yours, or set SBX_DATA to a directory elsewhere"},
		{unix.ENAMETOOLONG, repack},
		{unix.EMLINK, repack},
		{unix.EIO, "check the disk"},
		{unix.EROFS, "set SBX_DATA to a directory that can be written"},
	}
	for _, k := range known {
		if errors.Is(err, k.errno) || strings.HasSuffix(msg, k.errno.Error()) {
			return &api.Error{Op: "import", Msg: msg, Errno: k.errno, Hint: k.hint}
		}
	}
	return api.Errorf("import", "", "%s", msg).WithHint("see that the archive is one of a whole root file system")
}

// output is what the process that unpacks has printed, if that is part of the
// message: the error, in which an errno is text only, after lines of its log.
func output(msg string) string {
	if _, out, ok := strings.Cut(msg, "; output: "); ok {
		msg = strings.TrimSuffix(strings.TrimSpace(out), ")")
	}
	var lines []string
	for line := range strings.Lines(msg) {
		if !strings.HasPrefix(line, "time=") && !strings.HasPrefix(line, "Chown error detected") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	msg = plain(strings.Join(lines, "; "))
	if len(msg) > longest {
		msg = strings.ToValidUTF8(msg[:longest/2]+" ... "+msg[len(msg)-longest/2:], "?")
	}
	return msg
}
