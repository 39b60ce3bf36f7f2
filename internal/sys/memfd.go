package sys

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// SealedCopy returns an executable memory file with the contents of r that
// nobody can change any more, so that a sandbox cannot overwrite, by way of
// /proc/PID/exe, what the host runs next (CVE-2019-5736). Linux 3.17;
// memfd_create(2).
func SealedCopy(name string, r io.Reader) (*os.File, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	// Since Linux 6.3 vm.memfd_noexec may ask for an explicit MFD_EXEC; before
	// it the flag is EINVAL.
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) {
		fd, err = unix.MemfdCreate(name, flags)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := io.Copy(f, r); err != nil {
		f.Close()
		return nil, err
	}
	seals := unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		f.Close()
		return nil, os.NewSyscallError("fcntl F_ADD_SEALS", err)
	}
	return f, nil
}
