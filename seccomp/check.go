package seccomp

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Check installs the default profile on a thread that ends with that.
func Check() api.Finding {
	result := make(chan error)
	go func() {
		// Never unlocked: the filter stays with the thread.
		runtime.LockOSThread()
		result <- install()
	}()
	const name = "seccomp"
	if err := <-result; err != nil {
		return api.Lacking(api.Red, name, err, "no sandbox can be started but with --security-opt seccomp=unconfined",
			api.Remedy{Text: "the kernel must have CONFIG_SECCOMP_FILTER, and a container must allow seccomp(2)"})
	}
	return api.Finding{Name: name, Level: api.Green, What: "the default profile can be installed"}
}

func install() error {
	program, err := Compile(nil, nil)
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return os.NewSyscallError("prctl PR_SET_NO_NEW_PRIVS", err)
	}
	const instruction = 8 // bytes
	prog := unix.SockFprog{Len: uint16(len(program) / instruction), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return os.NewSyscallError("seccomp SECCOMP_SET_MODE_FILTER", errno)
	}
	return nil
}
