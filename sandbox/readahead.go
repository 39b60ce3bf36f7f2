package sandbox

import (
	"os"

	"golang.org/x/sys/unix"

	"sbx/internal/sys"
	"sbx/sandbox/pid1"
)

// mostAhead is how much of a program is read before it is executed.
const mostAhead = 4 << 20

// readAhead has the kernel read the program that an image has been shown for, while the
// sandbox is made: page by page as it is needed, each question would be waited for. Nothing
// depends on it.
func readAhead(at string, args, env []string) {
	if len(args) == 0 {
		return
	}
	root, err := unix.Open(at, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(root)
	for _, path := range pid1.SearchPath(args[0], env) {
		fd, err := sys.OpenInRoot(root, path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY)
		if err != nil {
			continue
		}
		program := os.NewFile(uintptr(fd), path)
		defer program.Close()
		if st, err := program.Stat(); err == nil && st.Mode().IsRegular() {
			_ = unix.Fadvise(fd, 0, min(st.Size(), mostAhead), unix.FADV_WILLNEED)
			return
		}
	}
}
