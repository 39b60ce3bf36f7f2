package slirp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
)

// slirp4netns is the fallback for pasta. The driver of rootlesskit runs ip and
// nsenter, and does not notice that the program has died; this one needs neither.
// It ends with the process that has started it.
type slirp4netns struct {
	bin string
	at  place
	mtu int
	// only4 leaves IPv6 out, for which it has one place: places6[0].
	only4 bool

	mu    sync.Mutex
	alive *os.File      // the program ends when this is closed; nil: none runs
	ended chan struct{} // closed after its end
}

func (s *slirp4netns) adopt() <-chan struct{} { return nil }

func (s *slirp4netns) stop() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alive == nil {
		return nil
	}
	err := s.alive.Close()
	s.alive = nil
	<-s.ended
	return err
}

// start's context ends the program only until it is ready.
func (s *slirp4netns) start(ctx context.Context, pid int, netns string) (<-chan struct{}, error) {
	if err := s.stop(); err != nil {
		return nil, err
	}
	var ends [4]*os.File
	defer func() {
		for _, f := range ends {
			if f != nil {
				f.Close()
			}
		}
	}()
	var err error
	for i := 0; i < len(ends); i += 2 {
		if ends[i], ends[i+1], err = os.Pipe(); err != nil {
			return nil, err
		}
	}
	ready, readyW, exit, alive := ends[0], ends[1], ends[2], ends[3]
	said := &tail{}
	path, err := exec.LookPath(s.bin)
	if err != nil {
		return nil, err
	}
	cmd := &exec.Cmd{Path: path, Args: s.args(pid, netns), Stderr: said,
		ExtraFiles: []*os.File{readyFD - 3: readyW, exitFD - 3: exit}}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	var end error
	go func() {
		end = cmd.Wait()
		close(ended)
	}()
	ends[1], ends[3] = nil, nil
	readyW.Close() // ready ends when the program does
	if !becomesReady(ctx, ready) {
		alive.Close()
		_ = cmd.Process.Kill() // it has ended already, perhaps
		<-ended
		return nil, fmt.Errorf("%s: %w: %s", s.bin, errors.Join(ctx.Err(), end), complaint(said.bytes()))
	}
	s.mu.Lock()
	s.alive, s.ended = alive, ended
	s.mu.Unlock()
	return ended, nil
}

// Descriptors of the program: it writes to one when it is ready, and ends when the
// other one is hung up.
const (
	readyFD = 3
	exitFD  = 4
)

// args: as with pasta, the loopback interface of the host is behind the gateway.
func (s *slirp4netns) args(pid int, netns string) []string {
	list := []string{Slirp4netns,
		"--configure", "--mtu=" + strconv.Itoa(s.mtu), "--cidr=" + s.at.v4.String(),
		// Its own sandbox does not get along with a detached namespace, and its
		// seccomp filter is fatal where a system call is new to it.
		"--ready-fd=" + strconv.Itoa(readyFD), "--exit-fd=" + strconv.Itoa(exitFD),
	}
	if !s.only4 {
		list = append(list, "--enable-ipv6")
	}
	if pid == ownUserns {
		// It starts as root of the user namespace, and is to stay so no longer than needed.
		list = append(list, "--enable-sandbox")
	} else {
		list = append(list, fmt.Sprintf("--userns-path=/proc/%d/ns/user", pid))
	}
	return append(list, "--netns-type=path", netns, Device)
}

func becomesReady(ctx context.Context, ready *os.File) bool {
	got := make(chan bool, 1)
	go func() {
		n, _ := ready.Read(make([]byte, 1))
		got <- n == 1
	}()
	select {
	case ok := <-got:
		return ok
	case <-ctx.Done():
		return false
	}
}

// tail keeps the last words of a program.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 4096
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if n := len(t.buf) - most; n > 0 {
		t.buf = append(t.buf[:0], t.buf[n:]...)
	}
	return len(p), nil
}

func (t *tail) bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return bytes.Clone(t.buf)
}
