package sandbox

import (
	"errors"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// limitError names the limit behind an error of fork, socket or open.
func limitError(op string, err error) error {
	e := api.Wrap(op, "", cause(err))
	switch {
	case errors.Is(err, unix.EAGAIN):
		e.WithHint("the limit of processes is reached: see ulimit -u")
	case errors.Is(err, unix.EMFILE):
		e.WithHint("the limit of open files is reached: see ulimit -n")
	case errors.Is(err, unix.ENFILE):
		e.WithHint("the system's limit of open files is reached: see /proc/sys/fs/file-max")
	}
	return e
}

// cause is the errno in err, if there is one: the rest repeats what the caller
// says.
func cause(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}
