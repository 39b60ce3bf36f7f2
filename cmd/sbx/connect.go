package main

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
)

// attempts bounds how often a supervisor may be met that is just going away.
const attempts = 5

// request sends one request to the supervisor, which it starts if none runs.
// What it returns is past the hello. The files stay the caller's.
func request(verb string, body any, files ...*os.File) (*api.Conn, error) {
	d, err := dirs.Find()
	if err != nil {
		return nil, err
	}
	for range attempts {
		conn, err := reach(d)
		if err != nil {
			return nil, err
		}
		// Nothing is read from us before the hello is sent, so a request that
		// got no hello was never seen and may be sent again.
		err = conn.Send(verb, body, files...)
		if err == nil {
			err = greet(conn, d)
		}
		if err == nil {
			return conn, nil
		}
		conn.Close()
		if !errors.Is(err, io.EOF) && !errors.Is(err, unix.EPIPE) && !errors.Is(err, unix.ECONNRESET) {
			return nil, err
		}
	}
	return nil, api.Errorf("connect", d.Socket(), "the supervisor ended %d times before it said hello", attempts).
		WithHint("see %s", d.Log())
}

// reach connects to the supervisor and makes sure that it is the user's own.
func reach(d dirs.Dirs) (*api.Conn, error) {
	uid := os.Getuid()
	if uid == 0 {
		// Root's supervisor runs as an unprivileged user, so its uid says
		// nothing; that only root can put a socket here does.
		if err := d.Make(); err != nil {
			return nil, err
		}
	}
	conn, err := dial(d)
	if absent(err) {
		conn, err = launch(d)
	}
	if err != nil {
		return nil, err
	}
	if err := checkPeer(conn, uid, d.Socket()); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// checkPeer makes sure that uid listens at path.
func checkPeer(conn *api.Conn, uid int, path string) error {
	peer, _, err := conn.Peer()
	if err != nil {
		return err
	}
	if peer != uid && uid != 0 {
		return api.Errorf("connect", path, "uid %d listens there, not you", peer).
			WithHint("set SBX_RUN to a directory of your own")
	}
	return nil
}

func dial(d dirs.Dirs) (*api.Conn, error) {
	conn, err := dialAsOwner(d)
	if err != nil && !absent(err) {
		return nil, api.Wrap("connect", d.Socket(), errors.Unwrap(err))
	}
	return conn, err
}

// dialAsOwner connects as the user that the runtime directory belongs to: the supervisor
// of root is an unprivileged one, and answers no other. Who connects is asked of the
// kernel, and what of this thread is changed is nobody else's. setresuid(2), unix(7).
func dialAsOwner(d dirs.Dirs) (*api.Conn, error) {
	var st unix.Stat_t
	if os.Geteuid() != 0 || unix.Stat(d.Run, &st) != nil || st.Uid == 0 {
		return api.Dial(d.Socket(), false)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	become := func(uid uint32) error {
		const same = ^uintptr(0)
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, same, uintptr(uid), same); errno != 0 {
			return os.NewSyscallError("setresuid", errno)
		}
		return nil
	}
	if err := become(st.Uid); err != nil {
		return nil, err
	}
	conn, err := api.Dial(d.Socket(), false)
	if back := become(0); back != nil {
		panic(back) // root's thread must not go on as somebody else
	}
	return conn, err
}

// absent says that nobody listens.
func absent(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ECONNREFUSED)
}

// helloTimeout is for a supervisor that is being restarted and first takes back
// its sandboxes.
const helloTimeout = 2 * time.Minute

// greet reads the hello. io.EOF means that there was none.
func greet(conn *api.Conn, d dirs.Dirs) error {
	if err := conn.SetReadDeadline(time.Now().Add(helloTimeout)); err != nil {
		return err
	}
	p, err := conn.Recv()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return api.Errorf("wait for the supervisor", "", "no answer in %s", helloTimeout).
			WithHint("%s, and try again; running sandboxes survive that", ending(conn))
	}
	if err != nil {
		return err
	}
	p.CloseFiles()
	if p.Kind == api.KindFault && p.Error != nil {
		return p.Error
	}
	var hello api.Hello
	if p.Kind != api.KindHello {
		return api.Errorf("talk to the supervisor", "", "it greets with %q", p.Kind)
	}
	if err := p.Decode(&hello); err != nil {
		return err
	}
	if hello.Protocol != api.Protocol {
		return api.Errorf("talk to the supervisor", "", "it is version %s with protocol %d, this is sbx %s with protocol %d",
			hello.Version, hello.Protocol, api.Version, api.Protocol).
			WithHint("%s, and try again; running sandboxes survive that. If that does not help, install sbx and sbxd of one version", ending(conn))
	}
	if os.Getenv("SBX_DATA") != "" && !sameDir(hello.Data, d.Data) {
		return api.Errorf("use SBX_DATA", d.Data, "the supervisor at %s keeps its data in %s", d.Run, hello.Data).
			WithHint("set SBX_RUN to a directory that is this one's alone, too")
	}
	return conn.SetReadDeadline(time.Time{})
}

// ending is the command that ends who serves us, and those that started it.
func ending(conn *api.Conn) string {
	_, pid, err := conn.Peer()
	if err != nil || pid == 0 { // 0: it is in another pid namespace
		return "end the process sbxd"
	}
	return "kill " + strconv.Itoa(pid)
}

// sameDir says that two paths lead to one directory.
func sameDir(a, b string) bool {
	if a == b {
		return true
	}
	one, err1 := os.Stat(a)
	two, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(one, two)
}
