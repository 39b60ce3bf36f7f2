package build

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// forward makes a socket whose connections lead to another one: an agent answers its
// own user only, who is another one in a sandbox.
func forward(at, to string) (stop func() error, err error) {
	// A path may be longer than a socket's address.
	dir, err := os.Open(filepath.Dir(at))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	l, err := net.Listen("unix", "/proc/self/fd/"+strconv.Itoa(int(dir.Fd()))+"/"+filepath.Base(at))
	if err != nil {
		return nil, api.Wrap("listen", at, err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // it goes with its file system
	var conns sync.WaitGroup
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() { relay(c, to) })
		}
	}()
	return l.Close, nil
}

func relay(c net.Conn, to string) {
	defer c.Close()
	agent, err := dialAgent(to)
	if err != nil {
		return // the program sees the end of its connection
	}
	defer agent.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Either end may go away at any time.
		_, _ = io.Copy(agent, c)
		_ = agent.CloseWrite()
	}()
	_, _ = io.Copy(c, agent)
	c.Close()
	<-done
}

func dialAgent(path string) (*net.UnixConn, error) {
	f, err := unix.Open(path, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(f)
	conn, err := net.Dial("unix", "/proc/self/fd/"+strconv.Itoa(f))
	if err != nil {
		return nil, err
	}
	agent, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("no socket"), conn.Close())
	}
	return agent, nil
}
