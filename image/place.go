package image

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// place is the store's directory by a name that can stand in the options of an overlay
// mount, where the library puts it: : , and \ separate there. That of a descriptor is
// one for as long as it is open.
func (s *Store) place() (string, error) {
	if !strings.ContainsAny(s.graphRoot, `:,\`) {
		return s.graphRoot, nil
	}
	fd, err := unix.Open(s.graphRoot, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", api.Wrap("open image store", s.graphRoot, err)
	}
	s.held = os.NewFile(uintptr(fd), s.graphRoot)
	return fmt.Sprintf("/proc/self/fd/%d", fd), nil
}

// release lets go of the descriptor, which the library must not use any more.
func (s *Store) release() error {
	if s.held == nil {
		return nil
	}
	return s.held.Close()
}
