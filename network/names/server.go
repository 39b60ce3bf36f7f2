package names

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"sbx/api"
)

const (
	port = 53
	// queue is how much may wait to be read, in bytes; the kernel allows less as a
	// rule (net.core.rmem_max).
	queue = 1 << 20
)

// Options of a Server.
type Options struct {
	// Resolv is the host's file of resolvers; /etc/resolv.conf if empty. It is read
	// again whenever it changes.
	Resolv string
	// Host is what host.sbx.internal means; nothing if the host cannot be reached.
	Host []netip.Addr
}

// Server is the responder. Its methods may be called from several goroutines.
type Server struct {
	inside   *thread
	clients  clients
	upstream *upstream
	ctx      context.Context // ends with Close; every forwarded query has it
	cancel   context.CancelFunc
	wg       sync.WaitGroup

	mu        sync.RWMutex
	closed    bool
	networks  map[string]*network
	sandboxes map[string][]*member
	host      []netip.Addr
}

// socket is a listening one: a UDP socket or a TCP listener, both of package net.
type socket interface{ Close() error }

// Open makes a responder that answers in a network namespace. It is not in the
// way of anybody before Listen. The caller keeps netns, and may close it.
func Open(netns *os.File, o Options) (*Server, error) {
	inside, err := enter(netns)
	if err != nil {
		return nil, err
	}
	s := &Server{
		inside:    inside,
		clients:   clients{known: map[clientKey]*client{}},
		upstream:  newUpstream(o.Resolv),
		networks:  map[string]*network{},
		sandboxes: map[string][]*member{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.SetHost(o.Host...)
	return s, nil
}

// SetHost says what host.sbx.internal means from now on.
func (s *Server) SetHost(addrs ...netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.host = make([]netip.Addr, 0, len(addrs))
	for _, a := range addrs {
		s.host = append(s.host, a.Unmap())
	}
}

// Listen starts to answer on a network's gateways, by UDP and TCP. A network that
// is listened on already gets new sockets; the sandboxes on it stay known. The
// gateways need not be up yet.
func (s *Server) Listen(n Network) error {
	sockets, err := s.open(n)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.Join(api.Errorf("listen for names", n.Name, "the responder is closed"), closeAll(sockets))
	}
	known := s.networks[n.Name]
	if known == nil {
		known = newNetwork(n)
		s.networks[n.Name] = known
	}
	known.Network, known.sockets = n, sockets
	for _, sock := range sockets {
		switch sock := sock.(type) {
		case *net.UDPConn:
			s.wg.Go(func() { s.serveUDP(known, sock) })
		case *net.TCPListener:
			s.wg.Go(func() { s.serveTCP(known, sock) })
		}
	}
	return nil
}

// open closes the network's sockets and makes new ones.
func (s *Server) open(n Network) (sockets []socket, err error) {
	s.mu.Lock()
	if known := s.networks[n.Name]; known != nil {
		err = closeAll(known.sockets)
		known.sockets = nil
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	// The socket is made by the thread that asks for it: an address needs no lookup.
	conf := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return prepare(c, n.Device) }}
	conf.SetMultipathTCP(false)
	listen := func() {
		for _, gateway := range n.Gateways {
			at := netip.AddrPortFrom(gateway.Unmap(), port).String()
			udp, failed := conf.ListenPacket(s.ctx, "udp", at)
			if failed == nil {
				sockets = append(sockets, udp.(*net.UDPConn))
				failed = udp.(*net.UDPConn).SetReadBuffer(queue)
			}
			if failed == nil {
				var tcp net.Listener
				if tcp, failed = conf.Listen(s.ctx, "tcp", at); failed == nil {
					sockets = append(sockets, tcp.(*net.TCPListener))
				}
			}
			if failed != nil {
				err = api.Wrap("listen for names", at, failed)
				return
			}
		}
	}
	if !s.inside.do(listen) {
		err = api.Errorf("listen for names", n.Name, "the responder is closed")
	}
	if err != nil {
		return nil, errors.Join(err, closeAll(sockets))
	}
	return sockets, nil
}

// prepare lets a socket be bound to an address that is not up yet, as an IPv6
// address is not in its first second, and binds it to a device: Linux takes
// packets for any of its addresses on any device.
func prepare(c syscall.RawConn, device string) error {
	var err error
	control := func(fd uintptr) {
		if err = os.NewSyscallError("setsockopt IP_FREEBIND", unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)); err == nil && device != "" {
			err = os.NewSyscallError("setsockopt SO_BINDTODEVICE "+device, unix.BindToDevice(int(fd), device))
		}
	}
	return errors.Join(c.Control(control), err)
}

func closeAll(sockets []socket) error {
	var errs []error
	for _, s := range sockets {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// Unlisten stops to answer on a network, and forgets it and who is on it.
func (s *Server) Unlisten(network string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.networks[network]
	if n == nil {
		return nil
	}
	for id := range n.members {
		s.remove(n, id)
	}
	delete(s.networks, network)
	return closeAll(n.sockets)
}

// Close ends everything and waits for it.
func (s *Server) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	var errs []error
	for _, n := range s.networks {
		errs = append(errs, closeAll(n.sockets))
		n.sockets = nil
	}
	s.mu.Unlock()
	s.cancel()
	s.wg.Wait()
	s.inside.close()
	return errors.Join(errs...)
}

// Networks lists what is listened on, by name.
func (s *Server) Networks() []Network {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []Network
	for _, n := range s.networks {
		if len(n.sockets) > 0 {
			list = append(list, n.Network)
		}
	}
	slices.SortFunc(list, func(a, b Network) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// own sorts the servers of a --dns: those that are sandboxes are marked, and those
// that are this responder are left out, which would ask itself for ever.
//
// An address of the host's file is never one of these, whatever it is: the host may
// have moved to a network that has the same addresses as one of ours.
func (s *Server) own(dns []netip.Addr) (list []netip.Addr, inside map[netip.Addr]bool) {
	if len(dns) == 0 {
		return nil, nil
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	inside = map[netip.Addr]bool{}
	for _, a := range dns {
		a = a.Unmap()
		self := false
		for _, n := range s.networks {
			self = self || slices.Contains(n.Gateways, a)
			if slices.ContainsFunc(n.Subnets, func(p netip.Prefix) bool { return p.Contains(a) }) {
				inside[a] = true
			}
		}
		if !self {
			list = append(list, a)
		}
	}
	return list, inside
}
