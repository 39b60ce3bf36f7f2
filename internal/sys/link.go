package sys

import "golang.org/x/sys/unix"

// Readlink gives what a symbolic link says, however long it is. An empty name reads
// the link that at itself is; the error is an errno, ENOENT if it is none.
// readlinkat(2).
func Readlink(at int, name string) (string, error) {
	for size := 256; ; size *= 2 {
		buf := make([]byte, size)
		n, err := unix.Readlinkat(at, name, buf)
		if err != nil {
			return "", err
		}
		if n < size {
			return string(buf[:n]), nil
		}
	}
}
