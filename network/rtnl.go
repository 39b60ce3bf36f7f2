package network

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// rtnl is a socket of rtnetlink(7). Requests go out many at a time: what counts
// on the way to a running sandbox is the number of system calls.
type rtnl struct {
	fd  int
	buf []byte
}

// request is one message, and what to call it when it fails.
type request struct {
	what string
	*nl.NetlinkRequest
}

func newRequest(what string, kind, flags int) request {
	return request{what, nl.NewNetlinkRequest(kind, flags|unix.NLM_F_ACK)}
}

// add puts an attribute into the message.
func (r request) add(kind int, data []byte) { r.AddData(nl.NewRtAttr(kind, data)) }

// openRtnl makes a socket in the network namespace of the calling thread.
func openRtnl() (*rtnl, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket AF_NETLINK", err)
	}
	for _, option := range []int{unix.NETLINK_EXT_ACK, unix.NETLINK_CAP_ACK} {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, option, 1); err != nil {
			return nil, errors.Join(os.NewSyscallError("setsockopt SOL_NETLINK", err), unix.Close(fd))
		}
	}
	return &rtnl{fd, make([]byte, 64<<10)}, nil
}

func (c *rtnl) close() error { return os.NewSyscallError("close", unix.Close(c.fd)) }

// do sends all requests at once and waits for all answers. The kernel goes on
// after one that fails; the error is that of the first.
func (c *rtnl) do(requests ...request) error { return c.exchange(requests, func([]byte) {}) }

// exchange is do, with what to do with interfaces in the answers.
func (c *rtnl) exchange(requests []request, link func(body []byte)) error {
	var out []byte
	for _, r := range requests {
		// Lengths of messages are multiples of four, as all attributes are padded.
		out = append(out, r.Serialize()...)
	}
	if err := unix.Sendto(c.fd, out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("send to rtnetlink", err)
	}
	failed := make([]error, len(requests))
	for left := len(requests); left > 0; {
		n, err := c.receive()
		if err != nil {
			return err
		}
		err = messages(c.buf[:n], func(h unix.NlMsghdr, body []byte) {
			switch at := find(requests, h.Seq); {
			case at < 0: // the answer to somebody who has given up
			case h.Type == unix.NLMSG_ERROR:
				failed[at] = answer(h, body)
				left--
			case h.Type == unix.RTM_NEWLINK:
				link(body)
			}
		})
		if err != nil {
			return err
		}
	}
	for i, err := range failed {
		if err != nil {
			return fmt.Errorf("%s: %w", requests[i].what, err)
		}
	}
	return nil
}

func find(requests []request, seq uint32) int {
	for i, r := range requests {
		if r.Seq == seq {
			return i
		}
	}
	return -1
}

func (c *rtnl) receive() (int, error) {
	for {
		n, _, err := unix.Recvfrom(c.fd, c.buf, 0)
		if !errors.Is(err, unix.EINTR) {
			return n, os.NewSyscallError("receive from rtnetlink", err)
		}
	}
}

// messages calls f for each message in data. netlink(7).
func messages(data []byte, f func(h unix.NlMsghdr, body []byte)) error {
	for len(data) >= unix.SizeofNlMsghdr {
		h := unix.NlMsghdr{
			Len:   binary.NativeEndian.Uint32(data),
			Type:  binary.NativeEndian.Uint16(data[4:]),
			Flags: binary.NativeEndian.Uint16(data[6:]),
			Seq:   binary.NativeEndian.Uint32(data[8:]),
			Pid:   binary.NativeEndian.Uint32(data[12:]),
		}
		if h.Len < unix.SizeofNlMsghdr || int(h.Len) > len(data) {
			return errors.New("rtnetlink: cut off message")
		}
		f(h, data[unix.SizeofNlMsghdr:h.Len])
		data = data[min(len(data), int(h.Len+3)&^3):]
	}
	return nil
}

// answer is the error in an NLMSG_ERROR, nil for success. The kernel's own words,
// where it has any, follow the errno.
func answer(h unix.NlMsghdr, body []byte) error {
	const errnoAndHeader = 4 + unix.SizeofNlMsghdr
	if len(body) < 4 {
		return errors.New("rtnetlink: cut off answer")
	}
	code := int32(binary.NativeEndian.Uint32(body))
	if code == 0 {
		return nil
	}
	errno := unix.Errno(-code)
	if h.Flags&unix.NLM_F_ACK_TLVS == 0 || len(body) < errnoAndHeader {
		return errno
	}
	attrs, err := nl.ParseRouteAttr(body[errnoAndHeader:])
	if err != nil {
		return errno
	}
	for _, a := range attrs {
		if a.Attr.Type == unix.NLMSGERR_ATTR_MSG {
			return fmt.Errorf("%w: %s", errno, nl.BytesToString(a.Value))
		}
	}
	return errno
}

// index is the number of an interface. It is an error that is unix.ENODEV if
// there is none of that name.
func (c *rtnl) index(name string) (int, error) {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("interface %q: %w", name, err)
	}
	if err := unix.IoctlIfreq(c.fd, unix.SIOCGIFINDEX, r); err != nil {
		return 0, fmt.Errorf("interface %s: %w", name, err)
	}
	return int(r.Uint32()), nil
}

// awaken waits until an interface works that has just found its other end. The
// kernel puts off what is to be done then, for a moment: until it has, a bridge
// does not forward, and a packet that is lost costs its sender a second. To be
// asked for the interface makes it hurry, from Linux 6.9 on (rtnl_getlink in
// rtnetlink.c). It is no error if it takes longer.
func (c *rtnl) awaken(name string) error {
	const tries, pause = 50, 200 * time.Microsecond
	for range tries {
		var l dumped
		var bad error
		if err := c.exchange([]request{state(name)}, func(body []byte) { l, bad = parseLink(body) }); err != nil {
			return err
		}
		if l.works || bad != nil {
			return bad
		}
		time.Sleep(pause)
	}
	return nil
}

// links lists all interfaces. A list that changed under way is read again.
func (c *rtnl) links() ([]dumped, error) {
	for {
		list, whole, err := c.listOnce()
		if whole || err != nil {
			return list, err
		}
	}
}

func (c *rtnl) listOnce() (list []dumped, whole bool, err error) {
	r := dump()
	if err := unix.Sendto(c.fd, r.Serialize(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, false, os.NewSyscallError("send to rtnetlink", err)
	}
	whole = true
	for done := false; !done; {
		n, err := c.receive()
		if err != nil {
			return nil, false, err
		}
		var failed error
		err = messages(c.buf[:n], func(h unix.NlMsghdr, body []byte) {
			if h.Seq != r.Seq {
				return
			}
			whole = whole && h.Flags&unix.NLM_F_DUMP_INTR == 0
			switch h.Type {
			case unix.NLMSG_DONE:
				done = true
			case unix.NLMSG_ERROR:
				done, failed = true, errors.Join(failed, answer(h, body))
			case unix.RTM_NEWLINK:
				l, err := parseLink(body)
				list, failed = append(list, l), errors.Join(failed, err)
			}
		})
		if err := errors.Join(err, failed); err != nil {
			return nil, false, fmt.Errorf("%s: %w", r.what, err)
		}
	}
	return list, whole, nil
}
