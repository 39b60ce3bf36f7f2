package ports

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// process is a running "sbxd ports".
type process struct {
	conn  *api.Conn // for requests, one at a time
	alive *api.Conn // says nothing; its end is that of the process
	plain string
}

// callTimeout is for one request: they are done in a millisecond.
const callTimeout = 10 * time.Second

// connect finds a process that runs already; nil if there is none.
func connect(run string) (*process, error) {
	p := &process{}
	for _, conn := range []**api.Conn{&p.conn, &p.alive} {
		var err error
		*conn, err = api.Dial(socketPath(run), false)
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED) {
			p.close()
			return nil, nil
		}
		if err != nil {
			p.close()
			return nil, err
		}
	}
	return p, nil
}

// start starts one. Requests may be sent at once: they wait in its socket.
func start(o Options) (*process, error) {
	const op = "start the forwarder of ports"
	l, err := listenPacket(socketPath(o.Run))
	if err != nil {
		return nil, api.Wrap(op, "", err)
	}
	defer l.file.Close()
	netns, err := os.Open(o.Switch)
	if err != nil {
		return nil, api.Wrap(op, "", err)
	}
	defer netns.Close()
	cmd := &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{"sbxd", "ports"},
		Stdout: os.Stderr, Stderr: os.Stderr,
		ExtraFiles: []*os.File{ListenFD - 3: l.file, SwitchFD - 3: netns},
		// It outlives us: no signal at our end, and none of our terminal's.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if err := cmd.Start(); err != nil {
		return nil, api.Wrap(op, "", err)
	}
	go func() {
		if err := cmd.Wait(); err != nil {
			o.Log.Warn("sbxd ports has ended", "error", err)
		}
	}()
	p, err := connect(o.Run)
	if err == nil && p == nil {
		err = errors.New("it does not listen")
	}
	if err != nil {
		return nil, api.Wrap(op, "", err)
	}
	return p, nil
}

func (p *process) close() {
	for _, conn := range []*api.Conn{p.conn, p.alive} {
		if conn != nil {
			conn.Close()
		}
	}
}

// wait returns when the process has ended, or close was called.
func (p *process) wait() {
	for {
		packet, err := p.alive.Recv()
		if err != nil {
			return
		}
		packet.CloseFiles()
	}
}

func (p *process) hello() (hello, error) {
	var h hello
	err := p.call(context.Background(), kindHello, nil, &h)
	p.plain = h.Plain
	return h, err
}

// call sends a request and waits for the answer. After an error other than that
// of the request itself the process cannot be used any more.
func (p *process) call(ctx context.Context, kind string, request, answer any) error {
	end := time.Now().Add(callTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(end) {
		end = d
	}
	if err := p.conn.SetReadDeadline(end); err != nil {
		return err
	}
	if err := p.conn.Send(kind, request); err != nil {
		return err
	}
	packet, err := p.conn.Recv()
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			p.close() // the answer may come yet, and would be taken for the next one's
		}
		return err
	}
	packet.CloseFiles()
	switch {
	case packet.Error != nil:
		return packet.Error
	case packet.Kind != kind:
		return errAnswer(packet.Kind, kind)
	case answer == nil:
		return nil
	}
	return packet.Decode(answer)
}
