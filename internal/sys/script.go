package sys

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// Script is a list of system calls that a process makes on its way to a program.
// It is prepared where Go can allocate and look things up, and run where it
// cannot: in the child of a fork. Run by the calling thread it does the same
// there.
type Script struct {
	calls []call
	keep  []any // what the calls point to
}

type call struct {
	name   string
	nr     uintptr
	args   [5]uintptr
	ignore [2]syscall.Errno
	on     bool // its first argument is the result of the call before
}

// Call appends a system call of up to five arguments. name is for errors. Inlined it
// would be most of the code of who makes a dozen calls.
//
//go:noinline
func (s *Script) Call(name string, nr uintptr, args ...uintptr) {
	c := call{name: name, nr: nr}
	copy(c.args[:], args)
	s.calls = append(s.calls, c)
}

// CallOn is Call for one that takes what the call before gave, a descriptor say, as
// its first argument; args are the others.
func (s *Script) CallOn(name string, nr uintptr, args ...uintptr) {
	s.Call(name, nr, append([]uintptr{0}, args...)...)
	s.calls[len(s.calls)-1].on = true
}

// CallIgnoring is Call for one whose failure with these errors does not matter.
func (s *Script) CallIgnoring(ignore [2]syscall.Errno, name string, nr uintptr, args ...uintptr) {
	s.Call(name, nr, args...)
	s.calls[len(s.calls)-1].ignore = ignore
}

// Pointer is the address of *v for a call. It stays valid as long as the script.
func Pointer[T any](s *Script, v *T) uintptr {
	s.keep = append(s.keep, v)
	return uintptr(unsafe.Pointer(v))
}

// Run makes the calls on the calling thread, which must be locked. The error
// names the call that failed.
func (s *Script) Run() error {
	at, errno := s.run()
	runtime.KeepAlive(s)
	if errno == 0 {
		return nil
	}
	return os.NewSyscallError(s.calls[at].name, errno)
}

// run allocates nothing and cannot grow the stack: the child of a fork runs it.
//
//go:nosplit
//go:norace
func (s *Script) run() (at int, errno syscall.Errno) {
	var result uintptr
	for at = range s.calls {
		c := &s.calls[at]
		first := c.args[0]
		if c.on {
			first = result
		}
		result, _, errno = syscall.RawSyscall6(c.nr, first, c.args[1], c.args[2], c.args[3], c.args[4], 0)
		if errno != 0 && errno != c.ignore[0] && errno != c.ignore[1] {
			return at, errno
		}
	}
	return 0, 0
}

// names of the calls, for a report of the child.
func (s *Script) name(at int) string {
	if s == nil || at >= len(s.calls) {
		return "call"
	}
	return s.calls[at].name
}
