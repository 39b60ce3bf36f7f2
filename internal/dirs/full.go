package dirs

import (
	"errors"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
)

// DiskError is an error of an operation on a file that sbx keeps, with what can be
// done about a disk that does not take any more.
func DiskError(op, path string, err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	e := api.Wrap(op, path, err)
	switch {
	case errors.Is(err, unix.ENOSPC):
		e.WithHint("the file system is full, or out of inodes: see df and df -i; SBX_DATA names another place")
	case errors.Is(err, unix.EDQUOT):
		e.WithHint("your disk quota is used up: see quota; SBX_DATA names another place")
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EACCES):
		e.WithRemedy(remedy.Data())
	}
	return e
}
