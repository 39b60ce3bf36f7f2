package confined

import (
	"errors"
	"io"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// streams are the standard files of the program. A terminal or a file is never one:
// what holds a terminal can type into it (CVE-2017-5226), and what holds a file can
// change its mode and its attributes. They are relayed through pipes.
type streams struct {
	program []*os.File // 0, 1, 2
	made    []*os.File // those of them that were made here
	input   *os.File   // our end
	outputs []output
	tty     *terminal // it has this, and nothing of the above
	keys    bool      // and what is typed
	done    sync.WaitGroup
	mu      sync.Mutex
	err     error
}

type output struct{ from, to *os.File }

func newStreams(wanted api.Stdio, tty bool) (*streams, error) {
	// A reader of ours that has gone is told to the program, and does not end us.
	signal.Ignore(unix.SIGPIPE)
	if tty {
		t, end, err := newTerminal(wanted.Size)
		if err != nil {
			return nil, api.Wrap("make a terminal", "", err)
		}
		return &streams{tty: t, keys: wanted.In, made: []*os.File{end}, program: []*os.File{end, end, end}}, nil
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	s := &streams{made: []*os.File{null}, program: []*os.File{null, null, null}}
	if wanted.In {
		if passable(os.Stdin) {
			s.program[0] = os.Stdin
		} else if s.program[0], s.input, err = os.Pipe(); err == nil {
			s.made = append(s.made, s.program[0])
		}
	}
	for i, to := range []*os.File{1: os.Stdout, 2: os.Stderr} {
		if i == 0 || err != nil || i == 1 && !wanted.Out || i == 2 && !wanted.Err {
			continue
		}
		if passable(to) {
			s.program[i] = to
			continue
		}
		var ours *os.File
		if ours, s.program[i], err = os.Pipe(); err == nil {
			s.made = append(s.made, s.program[i])
			s.outputs = append(s.outputs, output{ours, to})
		}
	}
	if err != nil {
		return nil, api.Wrap("prepare standard files", "", err)
	}
	return s, nil
}

// started closes what the program has now: else no pipe would end.
func (s *streams) started() {
	for _, f := range s.made {
		f.Close()
	}
}

// relay copies until the ends. Nobody waits for a key that may never be pressed.
func (s *streams) relay() error {
	if s.tty != nil {
		s.done.Go(func() { s.failed(s.tty.copy(os.Stdout)) })
		return s.tty.relay(s.keys)
	}
	if s.input != nil {
		go func() {
			// The program may read no more: that is its affair.
			_, _ = io.Copy(s.input, os.Stdin)
			s.input.Close()
		}()
	}
	for _, o := range s.outputs {
		s.done.Go(func() {
			_, err := io.Copy(o.to, o.from)
			o.from.Close() // the program gets SIGPIPE
			s.failed(err)
		})
	}
	return nil
}

// failed keeps an error of writing, but that nobody reads.
func (s *streams) failed(err error) {
	if err != nil && !errors.Is(err, unix.EPIPE) {
		s.mu.Lock()
		s.err = errors.Join(s.err, err)
		s.mu.Unlock()
	}
}

// drain waits until all is written.
func (s *streams) drain() error {
	s.done.Wait()
	if s.err != nil {
		return api.Wrap("write the program's output", "", s.err)
	}
	return nil
}

// passable says that the program may have a file as it is: an anonymous pipe, a
// connected socket of a stream, or /dev/null.
func passable(f *os.File) bool {
	fd := int(f.Fd())
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil {
		return false
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
		kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		_, unconnected := unix.Getpeername(fd)
		return err == nil && kind == unix.SOCK_STREAM && unconnected == nil
	case unix.S_IFCHR:
		return st.Rdev == unix.Mkdev(1, 3)
	case unix.S_IFIFO:
		var fs unix.Statfs_t
		return unix.Fstatfs(fd, &fs) == nil && fs.Type == unix.PIPEFS_MAGIC
	}
	return false
}
