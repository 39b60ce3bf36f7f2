package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
)

// handler answers one request.
type handler func(*api.Conn, *api.Packet) error

// listen is a supervisor's socket.
func listen(path string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	sa, done, err := api.Sockaddr(path)
	if err != nil {
		return -1, err
	}
	defer done()
	return fd, errors.Join(unix.Bind(fd, sa), unix.Listen(fd, 16))
}

// supervise serves connections until the socket is shut down.
func supervise(fd int, hello api.Hello, serve handler) {
	for {
		c, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		go func() {
			conn, err := api.ConnFd(c, "client")
			if err != nil {
				return
			}
			defer conn.Close()
			if conn.Send(api.KindHello, hello) != nil {
				return
			}
			p, err := conn.Recv()
			if err != nil {
				return
			}
			if err := serve(conn, p); err != nil {
				conn.Send(api.KindFault, api.Wrap("serve", "", err))
			}
		}()
	}
}

// fake starts a supervisor in this process.
func (h home) fake(serve handler) {
	h.t.Helper()
	h.fakeHello(api.Hello{Protocol: api.Protocol, Version: "test", Data: h.data}, serve)
}

func (h home) fakeHello(hello api.Hello, serve handler) {
	h.t.Helper()
	fd, err := listen(filepath.Join(h.run, "sock"))
	if err != nil {
		h.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		supervise(fd, hello, serve)
	}()
	h.t.Cleanup(func() {
		unix.Shutdown(fd, unix.SHUT_RDWR)
		<-ended
		unix.Close(fd)
	})
}

// fakeDaemon is "sbxd parent": SBX_TEST_SAY is what it says instead of "ready".
func fakeDaemon() int {
	if say := os.Getenv("SBX_TEST_SAY"); say != "" {
		fmt.Print(say)
		return 1
	}
	fd, err := listen(filepath.Join(os.Getenv("SBX_RUN"), "sock"))
	if err != nil {
		fmt.Printf(`{"error":{"op":"listen","msg":%q}}`+"\n", err)
		return 1
	}
	fmt.Println("ready")
	served := make(chan struct{}, 100)
	clients, _ := strconv.Atoi(os.Getenv("SBX_TEST_SERVE"))
	go supervise(fd, api.Hello{Protocol: api.Protocol, Data: os.Getenv("SBX_DATA")}, func(c *api.Conn, p *api.Packet) error {
		defer func() { served <- struct{}{} }()
		cwd, _ := os.Getwd()
		return c.Send(api.KindDone, api.Done{Text: fmt.Sprintf("args %v cwd %s env %s", os.Args, cwd, envNames())})
	})
	for range max(clients, 1) {
		<-served
	}
	return 0
}

func envNames() string {
	var names []string
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		names = append(names, name)
	}
	return strings.Join(names, ",")
}

// host runs what the request asks for on this machine, with the standard files
// as a monitor would: that is all of a sandbox that these tests need.
func host(t *testing.T) handler { return hostArmed(t, nil) }

// hostArmed tells armed when the command line handles signals.
func hostArmed(t *testing.T, armed chan<- struct{}) handler {
	return func(conn *api.Conn, p *api.Packet) error {
		defer p.CloseFiles()
		switch p.Kind {
		case api.VerbRun:
			var r api.Run
			if err := p.Decode(&r); err != nil {
				return err
			}
			return hostProgram(t, conn, p, r.Spec.Process.Args(), r.Spec.Process.TTY, r.Stdio, armed)
		case api.VerbExec:
			var r api.Exec
			if err := p.Decode(&r); err != nil {
				return err
			}
			if r.Spec.TTY {
				return hostExecTTY(conn, r)
			}
			return hostProgram(t, conn, p, r.Spec.Args, false, r.Stdio, armed)
		case api.VerbInspect:
			return errors.Join(conn.Send(api.KindOut, api.Text{Text: "true true\n"}), conn.Send(api.KindDone, api.Done{}))
		case api.VerbAttach:
			var r api.Attach
			if err := p.Decode(&r); err != nil {
				return err
			}
			return hostProgram(t, conn, p, []string{"cat"}, true, r.Stdio, armed)
		}
		return errors.New("unexpected " + p.Kind)
	}
}

func hostProgram(t *testing.T, conn *api.Conn, p *api.Packet, args []string, tty bool, io api.Stdio, armed chan<- struct{}) error {
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	files := p.Files
	take := func(want bool) *os.File {
		if !want || len(files) == 0 {
			return nil
		}
		f := files[0]
		files = files[1:]
		return f
	}
	in, out, errs := take(io.In), take(io.Out), take(io.Err)
	if tty {
		return hostTTY(conn, cmd, in, out, io.Size, armed)
	}
	// A nil *os.File in an interface would not be nil.
	if in != nil {
		cmd.Stdin = in
	}
	if out != nil {
		cmd.Stdout = out
	}
	if errs != nil {
		cmd.Stderr = errs
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.CloseFiles()
	return follow(conn, cmd, nil, armed)
}

// follow is a monitor: packets in, the exit status out.
func follow(conn *api.Conn, cmd *exec.Cmd, master *os.File, armed chan<- struct{}, files ...*os.File) error {
	if err := conn.Send(api.KindStarted, api.Started{ID: "0123456789ab"}, files...); err != nil {
		return err
	}
	go func() {
		for {
			p, err := conn.Recv()
			if err != nil {
				if master != nil {
					cmd.Process.Kill() // detached: the tests have seen enough
				}
				return
			}
			switch p.Kind {
			case api.KindArmed:
				if armed != nil {
					armed <- struct{}{}
				}
			case api.KindSignal:
				var s api.Signal
				if p.Decode(&s) == nil {
					cmd.Process.Signal(syscall.Signal(s.Num))
				}
			case api.KindResize:
				var s api.Size
				if p.Decode(&s) == nil && master != nil {
					sys.SetWinsize(fdOf(master), s.Rows, s.Cols)
				}
			}
		}
	}()
	err := cmd.Wait()
	if cmd.ProcessState == nil {
		return err
	}
	code := cmd.ProcessState.ExitCode()
	if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
		code = 128 + int(ws.Signal())
	}
	return conn.Send(api.KindExited, api.Done{Code: code})
}

// pty is a pseudo-terminal of this machine.
func pty(size api.Size) (master, tty *os.File, err error) {
	m, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	s, err := sys.OpenPty(m)
	if err != nil {
		return nil, nil, err
	}
	if size.Rows > 0 {
		err = sys.SetWinsize(m, size.Rows, size.Cols)
	}
	return os.NewFile(uintptr(m), "ptmx"), os.NewFile(uintptr(s), "tty"), err
}

func onTTY(cmd *exec.Cmd, tty *os.File) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
}

// hostTTY copies between the pipes and the terminal of the program.
func hostTTY(conn *api.Conn, cmd *exec.Cmd, in, out *os.File, size api.Size, armed chan<- struct{}) error {
	master, tty, err := pty(size)
	if err != nil {
		return err
	}
	defer master.Close()
	onTTY(cmd, tty)
	if err := cmd.Start(); err != nil {
		return err
	}
	tty.Close()
	if in != nil {
		go io.Copy(master, in)
	}
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		io.Copy(out, master)
		out.Close()
	}()
	err = follow(conn, cmd, master, armed)
	<-copied
	return err
}

func hostExecTTY(conn *api.Conn, r api.Exec) error {
	master, tty, err := pty(r.Stdio.Size)
	if err != nil {
		return err
	}
	defer master.Close()
	cmd := exec.Command(r.Spec.Args[0], r.Spec.Args[1:]...)
	onTTY(cmd, tty)
	if err := cmd.Start(); err != nil {
		return err
	}
	tty.Close()
	return follow(conn, cmd, nil, nil, master)
}
