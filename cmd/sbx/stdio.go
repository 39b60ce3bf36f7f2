package main

import (
	"os"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// attachment says which of the caller's standard files a program gets.
type attachment struct {
	in, out, err bool
	tty          bool   // the program has a terminal
	exec         bool   // and its other end comes to us, so that no pipes are needed
	direct       bool   // pipes and sockets of the caller's are handed over
	proxy        bool   // forward signals
	keys         []byte // that detach
}

// plan is how the caller's standard files reach the program. A terminal or a
// regular file never does: what holds a terminal can type into it
// (CVE-2017-5226), and what holds a file can reopen it through /proc/self/fd
// with other rights. Those are relayed through pipes made here.
type plan struct {
	stdio  api.Stdio
	files  []*os.File // to send, in the order of stdio
	theirs []*os.File // those of them that were made here
	input  *os.File   // our end of the program's input, if we relay it
	relays []*relay
}

// newPlan decides. Its pipes are closed by close.
func newPlan(s streams, a attachment) (*plan, error) {
	p := &plan{stdio: api.Stdio{Direct: a.direct}}
	if a.tty {
		p.stdio.Size = windowSize(s)
	}
	if a.tty && a.exec {
		return p, nil
	}
	err := p.addInput(s.in, a)
	if err == nil {
		err = p.addOutputs(s, a)
	}
	if err != nil {
		p.sent()
		p.close()
		return nil, api.Wrap("prepare standard files", "", err)
	}
	return p, nil
}

func (p *plan) addInput(in *os.File, a attachment) error {
	if !a.in {
		return nil
	}
	p.stdio.In = true
	if a.direct && passable(in) {
		p.files = append(p.files, in)
		return nil
	}
	ours, theirs, err := writePipe()
	if err != nil {
		return err
	}
	p.input = ours
	p.give(theirs)
	return nil
}

func (p *plan) addOutputs(s streams, a attachment) error {
	if a.out {
		p.stdio.Out = true
		if err := p.addOutput(s.out, a.direct); err != nil {
			return err
		}
	}
	if !a.err || a.tty {
		return nil
	}
	p.stdio.Err = true
	if a.direct && a.out && !passable(s.err) && sameFile(s.out, s.err) {
		// One pipe for both keeps the order of what is written to them.
		p.files = append(p.files, p.files[len(p.files)-1])
		return nil
	}
	return p.addOutput(s.err, a.direct)
}

func (p *plan) addOutput(to *os.File, direct bool) error {
	if direct && passable(to) {
		p.files = append(p.files, to)
		return nil
	}
	ours, theirs, err := readPipe()
	if err != nil {
		return err
	}
	p.relays = append(p.relays, newRelay(ours, to))
	p.give(theirs)
	return nil
}

func (p *plan) give(theirs *os.File) {
	p.files = append(p.files, theirs)
	p.theirs = append(p.theirs, theirs)
}

// sent closes the other ends: as long as we hold them no pipe ends.
func (p *plan) sent() {
	for _, f := range p.theirs {
		f.Close()
	}
	p.theirs = nil
}

// close closes our ends.
func (p *plan) close() {
	if p.input != nil {
		p.input.Close()
	}
	for _, r := range p.relays {
		r.from.Close()
	}
}

// passable says that a file may be handed to the program as it is: an anonymous
// pipe, a socket, or /dev/null. A named pipe has a place in the host's file
// system, so it is not one of them.
func passable(f *os.File) bool {
	fd := fdOf(f)
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return false
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		return true
	case unix.S_IFCHR:
		return st.Rdev == unix.Mkdev(1, 3)
	case unix.S_IFIFO:
		var fs unix.Statfs_t
		return unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.PIPEFS_MAGIC
	}
	return false
}

// sameFile compares without touching what is behind.
func sameFile(a, b *os.File) bool {
	var sa, sb unix.Stat_t
	if unix.Fstat(fdOf(a), &sa) != nil || unix.Fstat(fdOf(b), &sb) != nil {
		return false
	}
	return sa.Dev == sb.Dev && sa.Ino == sb.Ino && sa.Mode&unix.S_IFMT == sb.Mode&unix.S_IFMT
}

// fdOf is f.Fd without its side effect: that would make the caller's file
// blocking, which other processes share.
func fdOf(f *os.File) int {
	num := -1
	rc, err := f.SyscallConn()
	if err != nil {
		return num
	}
	if err := rc.Control(func(fd uintptr) { num = int(fd) }); err != nil {
		return -1
	}
	return num
}
