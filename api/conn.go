package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sbx/internal/wire"
)

// inline is the largest packet that travels in the socket itself; a larger one
// travels as a memfd. It stays well under net.core.wmem_default (212992 bytes,
// of which the kernel counts its own overhead too).
const inline = 32 << 10

// MaxPacket bounds what a peer can make us read into memory.
const MaxPacket = 64 << 20

// maxFiles is SCM_MAX_FD of no peer of ours: run passes five at most, a build one for
// each secret and context besides.
const maxFiles = 64

// Packet is one message: its kind, a newline, and a body, which a kind need not
// have. Kind says what Body holds: a wire.Message, or JSON for all other types.
type Packet struct {
	Kind  string
	Body  []byte
	Error *Error // the body of KindFault, never nil there
	Files []*os.File
}

// Decode unpacks the body into v.
func (p *Packet) Decode(v any) error {
	var err error
	if m, ok := v.(wire.Message); ok {
		err = wire.Decode(p.Body, m)
	} else {
		err = json.Unmarshal(p.Body, v)
	}
	if err != nil {
		return fmt.Errorf("packet %q: %w", p.Kind, err)
	}
	return nil
}

// CloseFiles closes what came with the packet and was not taken.
func (p *Packet) CloseFiles() {
	for _, f := range p.Files {
		if f != nil {
			f.Close()
		}
	}
	p.Files = nil
}

// Conn is one end of a SOCK_SEQPACKET unix socket: a read gives one whole packet.
// One goroutine may read while others write.
type Conn struct {
	f  *os.File
	rc syscall.RawConn
}

// NewConn takes over f. With a non-blocking f waiting parks the goroutine, with
// a blocking one it blocks the thread.
func NewConn(f *os.File) (*Conn, error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &Conn{f, rc}, nil
}

// ConnFd is NewConn for a raw non-blocking descriptor.
func ConnFd(fd int, name string) (*Conn, error) {
	return NewConn(os.NewFile(uintptr(fd), name))
}

// File is the socket, to be passed on. It stays owned by c.
func (c *Conn) File() *os.File { return c.f }

// Close closes the socket.
func (c *Conn) Close() error { return c.f.Close() }

// SetReadDeadline bounds the next Recv; it needs a non-blocking socket.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.f.SetReadDeadline(t) }

// CloseWrite tells the peer that nothing more will come.
func (c *Conn) CloseWrite() error {
	var err error
	if e := c.rc.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) }); e != nil {
		return e
	}
	return err
}

// Pair is a connected pair of non-blocking, close-on-exec sockets.
func Pair(name string) (*Conn, *Conn, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	a, err := ConnFd(fds[0], name)
	if err != nil {
		return nil, nil, err
	}
	b, err := ConnFd(fds[1], name)
	return a, b, err
}

// Dial connects to the socket at path, which may be longer than sun_path allows.
// Blocking is the mode of the connection's descriptor.
func Dial(path string, blocking bool) (*Conn, error) {
	kind := unix.SOCK_SEQPACKET | unix.SOCK_CLOEXEC
	fd, err := unix.Socket(unix.AF_UNIX, kind, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	sa, done, err := Sockaddr(path)
	if err == nil {
		err = unix.Connect(fd, sa)
		done()
	}
	if err == nil && !blocking {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, &os.PathError{Op: "connect", Path: path, Err: err}
	}
	return ConnFd(fd, path)
}

// Send sends one packet; files travel with it and stay owned by the caller.
func (c *Conn) Send(kind string, body any, files ...*os.File) error {
	msg, err := encode(append([]byte(kind), '\n'), body)
	if err != nil {
		return err
	}
	return c.SendRaw(msg, files...)
}

// TrySend is Send that does not wait: unix.EAGAIN means that the peer does not read,
// and that nothing was sent.
func (c *Conn) TrySend(kind string, body any) error {
	msg, err := encode(append([]byte(kind), '\n'), body)
	if err != nil {
		return err
	}
	if len(msg) > inline {
		return unix.EMSGSIZE
	}
	if e := c.rc.Control(func(fd uintptr) {
		err = unix.EINTR
		for err == unix.EINTR {
			err = unix.Sendmsg(int(fd), msg, nil, nil, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
		}
	}); e != nil {
		return e
	}
	return err
}

// encode appends the body. What is no pointer may still be a message by its
// pointer, as for Decode; that it is one is then found out by reflection.
func encode(msg []byte, body any) ([]byte, error) {
	switch b := body.(type) {
	case nil:
		return msg, nil
	case wire.Message:
		return wire.Append(msg, b), nil
	}
	p := reflect.New(reflect.TypeOf(body))
	if m, ok := p.Interface().(wire.Message); ok {
		p.Elem().Set(reflect.ValueOf(body))
		return wire.Append(msg, m), nil
	}
	raw, err := json.Marshal(body)
	return append(msg, raw...), err
}

// SendRaw sends a packet that is already encoded.
func (c *Conn) SendRaw(msg []byte, files ...*os.File) error {
	if len(msg) > inline {
		big, err := memfd(msg)
		if err != nil {
			return err
		}
		defer big.Close()
		msg, files = []byte{large}, append(append([]*os.File{}, files...), big)
	}
	fds := make([]int, len(files))
	for i, f := range files {
		// Fd would switch the file to blocking mode.
		rc, err := f.SyscallConn()
		if err != nil {
			return err
		}
		if err := rc.Control(func(fd uintptr) { fds[i] = int(fd) }); err != nil {
			return err
		}
	}
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	var err error
	if e := c.rc.Write(func(fd uintptr) bool {
		for {
			err = unix.Sendmsg(int(fd), msg, oob, nil, unix.MSG_NOSIGNAL)
			if err != unix.EINTR {
				return err != unix.EAGAIN
			}
		}
	}); e != nil {
		return e
	}
	return os.NewSyscallError("sendmsg", err)
}

// large is a packet that says: the packet is in the last file. It has no newline.
const large = 'L'

// buffer is room for the largest packet and its files.
type buffer struct {
	msg [inline]byte
	oob [oobSize]byte
}

// oobSize is unix.CmsgSpace(maxFiles * 4).
const oobSize = unix.SizeofCmsghdr + maxFiles*4

var receiving = sync.Pool{New: func() any { return new(buffer) }}

// Recv waits for one packet. io.EOF means that the peer has closed the socket.
func (c *Conn) Recv() (*Packet, error) {
	buf := receiving.Get().(*buffer)
	defer receiving.Put(buf)
	var n, oobn, flags int
	var err error
	if e := c.rc.Read(func(fd uintptr) bool {
		for {
			n, oobn, flags, _, err = unix.Recvmsg(int(fd), buf.msg[:], buf.oob[:], unix.MSG_CMSG_CLOEXEC)
			// A peer that closed with a packet of ours unread is reported once, ahead of
			// what it has sent before (unix_release_sock in the kernel): that comes next.
			if err != unix.EINTR && err != unix.ECONNRESET {
				return err != unix.EAGAIN
			}
		}
	}); e != nil {
		return nil, e
	}
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	return parse(buf.msg[:n], buf.oob[:oobn], flags)
}

// TryRecv is Recv without waiting: EAGAIN means that nothing is queued.
func (c *Conn) TryRecv() (*Packet, error) { return c.now(unix.MSG_CMSG_CLOEXEC) }

// Peek is TryRecv that leaves the packet, and its files, to the next reader.
func (c *Conn) Peek() (*Packet, error) { return c.now(unix.MSG_CMSG_CLOEXEC | unix.MSG_PEEK) }

func (c *Conn) now(how int) (*Packet, error) {
	buf := receiving.Get().(*buffer)
	defer receiving.Put(buf)
	var p *Packet
	var err error
	if e := c.rc.Control(func(fd uintptr) {
		var n, oobn, flags int
		err = unix.EINTR
		for err == unix.EINTR || err == unix.ECONNRESET { // as in Recv
			n, oobn, flags, _, err = unix.Recvmsg(int(fd), buf.msg[:], buf.oob[:], how|unix.MSG_DONTWAIT)
		}
		if err == nil {
			p, err = parse(buf.msg[:n], buf.oob[:oobn], flags)
		}
	}); e != nil {
		return nil, e
	}
	return p, err
}

func parse(msg, oob []byte, flags int) (*Packet, error) {
	p := &Packet{}
	files, err := rights(oob)
	if err != nil {
		return nil, err
	}
	p.Files = files
	switch {
	case len(msg) == 0 && len(files) == 0:
		return nil, io.EOF
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0:
		err = errors.New("packet larger than the protocol allows")
	case len(msg) == 1 && msg[0] == large && len(files) > 0:
		big := files[len(files)-1]
		p.Files = files[:len(files)-1]
		msg, err = readMemfd(big)
		big.Close()
	}
	if err == nil {
		err = p.split(msg)
	}
	if err != nil {
		p.CloseFiles()
		return nil, err
	}
	return p, nil
}

func (p *Packet) split(msg []byte) error {
	kind, body, ok := bytes.Cut(msg, []byte{'\n'})
	if !ok {
		return errors.New("packet without a kind")
	}
	// The buffer is used again.
	p.Kind, p.Body = string(kind), bytes.Clone(body)
	if p.Kind != KindFault {
		return nil
	}
	p.Error = &Error{}
	return p.Decode(p.Error)
}

func rights(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	var files []*os.File
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue // credentials or the like: nothing to close
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return files, nil
}

func memfd(data []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("sbx-packet", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "sbx-packet")
	if _, err := f.WriteAt(data, 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func readMemfd(f *os.File) ([]byte, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > MaxPacket {
		return nil, fmt.Errorf("packet of %d bytes: larger than the protocol allows", st.Size())
	}
	data := make([]byte, st.Size())
	_, err = f.ReadAt(data, 0)
	return data, err
}

// Sockaddr is the address of a socket path. A path that does not fit sun_path
// (108 bytes) goes by way of a descriptor of its directory; done closes that.
func Sockaddr(path string) (*unix.SockaddrUnix, func(), error) {
	if len(path) < int(unsafe.Sizeof(unix.RawSockaddrUnix{}.Path)) {
		return &unix.SockaddrUnix{Name: path}, func() {}, nil
	}
	slash := len(path) - 1
	for slash > 0 && path[slash] != '/' {
		slash--
	}
	dir, err := unix.Open(path[:slash], unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	name := fmt.Sprintf("/proc/self/fd/%d%s", dir, path[slash:])
	return &unix.SockaddrUnix{Name: name}, func() { unix.Close(dir) }, nil
}

// Peer is the user id on the other end, in the caller's user namespace, and its
// process id. SO_PEERCRED, unix(7).
func (c *Conn) Peer() (uid, pid int, err error) {
	var cred *unix.Ucred
	if e := c.rc.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); e != nil {
		return 0, 0, e
	}
	if err != nil {
		return 0, 0, os.NewSyscallError("getsockopt SO_PEERCRED", err)
	}
	return int(cred.Uid), int(cred.Pid), nil
}
