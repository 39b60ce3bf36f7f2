package image

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// longest is where a message is cut: it may repeat names from the archive.
const longest = 400

// explain makes one line, with advice, of an error of the kernel or of the storage
// library. One that is explained already stays. The hint is for an error that has
// no better one.
func explain(err error, hint string) error {
	var e *api.Error
	if errors.As(err, &e) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	known := []struct {
		errno unix.Errno
		hint  string
	}{
		{unix.ENOSPC, "free some space or inodes (df, df -i), or set SBX_DATA to a directory elsewhere"},
		{unix.EDQUOT, "delete files of yours, or set SBX_DATA to a directory elsewhere"},
		{unix.EMFILE, "raise the limit of open files: ulimit -n"},
		{unix.EIO, "check the disk"},
		{unix.EROFS, "set SBX_DATA to a directory that can be written"},
	}
	for _, k := range known {
		if errors.Is(err, k.errno) {
			return &api.Error{Msg: short(err.Error()), Errno: k.errno, Hint: k.hint}
		}
	}
	var errno unix.Errno
	errors.As(err, &errno)
	return &api.Error{Msg: short(err.Error()), Errno: errno, Hint: hint}
}

// short is one line that does nothing to a terminal.
func short(msg string) string {
	var lines []string
	for line := range strings.Lines(msg) {
		lines = append(lines, strings.TrimSpace(line))
	}
	msg = plain(strings.Join(lines, "; "))
	if len(msg) > longest {
		msg = strings.ToValidUTF8(msg[:longest/2]+" ... "+msg[len(msg)-longest/2:], "?")
	}
	return msg
}
