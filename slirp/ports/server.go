package ports

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/slirp/out"
)

// Descriptors of "sbxd ports", beside the standard ones.
const (
	ListenFD = 3 // listening SOCK_SEQPACKET socket, non-blocking
	SwitchFD = 4 // network namespace that the sandboxes' bridges are in
)

// Packets between the supervisor and this process: the first goes to the process,
// the answer has the same kind, or is an api.KindFault.
//
//	hello  -                hello  hello
//	add    Forward, id      add    Forward with its port
//	remove id               remove -
//	list   -                list   map[int]Forward
//	lead   prefixes         lead   -        carry connections out, see package out
//	quit   -                quit   -        and the process ends
const (
	kindHello  = "hello"
	kindAdd    = "add"
	kindRemove = "remove"
	kindList   = "list"
	kindLead   = "lead"
	kindQuit   = "quit"
)

// version of these packets. A process that speaks another one is replaced.
const version = 1

// hello says whom we talk to.
type hello struct {
	Version int    `json:"version"`
	Netns   uint64 `json:"netns"`           // inode of the switch
	Plain   string `json:"plain,omitempty"` // why sandboxes do not see the addresses of clients
}

// numbered is a forward and its id.
type numbered struct {
	ID      int     `json:"id"`
	Forward Forward `json:"forward"`
}

// firstTalk is how long a new process waits for whoever has started it.
const firstTalk = 10 * time.Second

// server is the process.
type server struct {
	log    *slog.Logger
	run    string
	inside *inside
	netns  uint64
	name   os.FileInfo   // of the socket; nil: it has none any more
	all    chan struct{} // a place for each connection

	leading sync.Mutex // held while out is opened

	mu      sync.Mutex
	talkers int
	ports   map[int]*published
	out     *out.Out    // nil: nothing is led out
	look    *time.Timer // when to look whether it is needed; nil: not yet
	ended   bool
	end     chan struct{}
	warned  time.Time
}

// Serve is the whole process. It returns when nobody talks to it, no port is published
// and no sandbox could want to go out, or after a request to quit or SIGTERM; it takes over both files. Run is the
// runtime directory.
func Serve(listen, netns *os.File, run string, log *slog.Logger) error {
	defer netns.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(netns.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	in, err := enter(netns)
	if err != nil {
		return err
	}
	defer in.leave()
	if in.plain != nil {
		log.Warn("sandboxes do not see the addresses of clients of published ports", "error", in.plain)
	}
	s := &server{log: log, run: run, inside: in, netns: st.Ino, all: make(chan struct{}, maxConnections()),
		ports: map[int]*published{}, end: make(chan struct{})}
	if s.name, err = os.Lstat(socketPath(run)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	raw, err := listen.SyscallConn()
	if err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, unix.SIGTERM)
	go func() {
		<-stop
		s.unneeded()
		s.finish()
	}()
	pipes.keep()
	time.AfterFunc(firstTalk, s.endIfIdle)
	go s.accept(&socket{listen, raw})
	<-s.end
	s.close()
	return listen.Close()
}

func (s *server) accept(l *socket) {
	for {
		conn, err := acceptPacket(l)
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			s.log.Warn("accept a supervisor", "error", err)
			time.Sleep(acceptPause)
			continue
		}
		s.mu.Lock()
		s.talkers++
		s.mu.Unlock()
		go s.talk(conn)
	}
}

// talk answers one supervisor until it goes.
func (s *server) talk(conn *api.Conn) {
	defer func() {
		conn.Close()
		s.mu.Lock()
		s.talkers--
		s.mu.Unlock()
		s.endIfIdle()
	}()
	if uid, _, err := conn.Peer(); err != nil || uid != os.Getuid() {
		s.log.Warn("refused", "uid", uid, "error", err)
		return
	}
	for {
		p, err := conn.Recv()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				s.log.Warn("read from the supervisor", "error", err)
			}
			return
		}
		p.CloseFiles() // none belong here
		answer, err := s.obey(p)
		if err != nil {
			err = conn.Send(api.KindFault, api.Wrap(p.Kind, "", err))
		} else {
			err = conn.Send(p.Kind, answer)
		}
		if p.Kind == kindQuit {
			s.finish()
		}
		if err != nil {
			return
		}
	}
}

func (s *server) obey(p *api.Packet) (any, error) {
	switch p.Kind {
	case kindHello:
		h := hello{Version: version, Netns: s.netns}
		if s.inside.plain != nil {
			h.Plain = s.inside.plain.Error()
		}
		return h, nil
	case kindAdd:
		var n numbered
		if err := p.Decode(&n); err != nil {
			return nil, err
		}
		return s.add(n)
	case kindRemove:
		var id int
		if err := p.Decode(&id); err != nil {
			return nil, err
		}
		return nil, s.remove(id)
	case kindList:
		return s.list(), nil
	case kindLead:
		var avoid []netip.Prefix
		if err := p.Decode(&avoid); err != nil {
			return nil, err
		}
		return nil, s.lead(avoid)
	case kindQuit:
		return nil, nil
	}
	return nil, api.Errorf("publish ports", "", "unknown request %q", p.Kind)
}

func (s *server) add(n numbered) (Forward, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ports[n.ID] != nil {
		return Forward{}, api.Errorf(opPublish, n.Forward.String(), "the number %d is in use", n.ID)
	}
	p, err := s.publish(n.Forward)
	if err != nil {
		return Forward{}, err
	}
	s.ports[n.ID] = p
	return p.forward, nil
}

func (s *server) remove(id int) error {
	s.mu.Lock()
	p := s.ports[id]
	delete(s.ports, id)
	s.mu.Unlock()
	if p == nil {
		return api.Errorf("unpublish", "", "no port has the number %d", id)
	}
	p.close()
	return nil
}

func (s *server) list() map[int]Forward {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[int]Forward, len(s.ports))
	for id, p := range s.ports {
		all[id] = p.forward
	}
	return all
}

// holder is who has a port that could not be had; with the lock.
func (s *server) holder(f Forward) string {
	for _, p := range s.ports {
		if p.forward.overlaps(f) {
			return "sandbox " + cmp.Or(p.forward.Owner, "of yours")
		}
	}
	return holder(s.run, f)
}

// short reports, once a minute at most, that connections have to wait.
func (s *server) short(f Forward, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.warned) > time.Minute {
		s.warned = now
		s.log.Warn("connections wait", "port", f.String(), "error", err)
	}
}

func (s *server) endIfIdle() {
	s.mu.Lock()
	idle := s.talkers == 0 && len(s.ports) == 0
	s.mu.Unlock()
	if idle && !s.leads() {
		s.unneeded()
		s.finish()
	}
}

func (s *server) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended = true
		close(s.end)
	}
}

func (s *server) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.ports {
		p.close()
	}
	s.ports = map[int]*published{}
}
