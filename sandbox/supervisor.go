package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/cgroup"
	"sbx/image"
	"sbx/internal/dirs"
	"sbx/internal/sys"
	"sbx/sandbox/pid1"
	"sbx/userns"
	"sbx/view"
)

// Options are what the keeper hands to a supervisor.
type Options struct {
	Dirs   dirs.Dirs
	Listen *os.File      // SOCK_SEQPACKET, listening
	Binary *os.File      // sealed memory file of the small binary
	Idle   time.Duration // without a sandbox and a client for so long the supervisor ends
	// Overlay is who must mount the roots of sandboxes, "kernel" or "fuse"; empty: the
	// kernel where it can.
	Overlay string
	Log     *slog.Logger
	Verbs   map[string]Verb // of other packages
	// Cache tells what builds have kept; nil: there is nobody who builds.
	Cache func(*image.Store) ([]view.CacheDisk, error)
}

// Supervisor is the state of the process. The lock guards the tables and every
// box in them; nothing that waits is done under it.
type Supervisor struct {
	Options
	uids, gids []userns.Extent
	setgroups  bool
	points     string // mount points, see pid1.Points
	events     *events
	slots      slots
	filters    filters
	nets       networks
	vols       volumes
	shown      shownImages
	overlay    overlay
	emulation  emulation
	lacks      atomic.Pointer[pid1.Lacks] // of all sandboxes; nil: it is not known yet
	netKnown   atomic.Bool                // the user knows what networks are like
	journal    *journal
	reviving   chan struct{}   // places of restarts that are being made
	home       cgroup.Home     // cgroup that those of the sandboxes are made in
	watch      *cgroup.Watch   // of those with a limit of memory; nil: there are none yet
	ctx        context.Context // ends with the supervisor

	storeLock sync.Mutex
	store     *image.Store
	resetting bool // no store is to be opened any more

	quit   func()         // ends the supervisor
	deaf   chan struct{}  // closed when no more conversations are begun
	resets sync.WaitGroup // conversations that end the supervisor

	mu    sync.Mutex
	boxes map[string]*box // by id
	names map[string]*box
	// building counts for each image by how many builds it is used.
	building map[string]int
	active   int       // conversations
	last     time.Time // when the last one ended
}

// Serve runs until there has been nothing to do for Options.Idle, or ctx ends.
func Serve(ctx context.Context, o Options) error {
	s := &Supervisor{
		Options: o, boxes: map[string]*box{}, names: map[string]*box{}, building: map[string]int{},
		points: filepath.Join(o.Dirs.Data, "points"), last: time.Now(),
		journal:  newJournal(filepath.Join(o.Dirs.Data, journalName), o.Log),
		reviving: make(chan struct{}, mostRevived),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.ctx = ctx
	if err := s.open(); err != nil {
		return err
	}
	defer s.close()
	s.quit, s.deaf = cancel, make(chan struct{})
	go s.watchIdle(ctx, cancel)
	go s.journal.keep(ctx.Done())
	s.armAll()
	err := s.accept(ctx)
	close(s.deaf)
	s.resets.Wait()
	return err
}

func (s *Supervisor) open() error {
	for _, dir := range []string{s.Dirs.Data, s.Dirs.Sandboxes(), s.points} {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	if err := sys.Spread(s.Dirs.Sandboxes()); err != nil {
		s.Log.Debug("spread sandboxes", "error", err) // only a matter of speed
	}
	for _, name := range pid1.Points {
		if err := os.Mkdir(filepath.Join(s.points, name), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	var err error
	if s.uids, s.gids, err = userns.Mapping(); err != nil {
		return err
	}
	if err := s.makeBase(); err != nil {
		return err
	}
	s.hideAll()
	deny, err := os.ReadFile("/proc/self/setgroups")
	if err != nil {
		return err
	}
	s.setgroups = string(deny) != "deny\n"
	s.openHome()
	if s.events, err = newEvents(s); err != nil {
		return err
	}
	return s.recover()
}

func (s *Supervisor) close() {
	s.endSlots()
	s.hideAll()
	s.closeNetwork()
	s.closeWatch()
	s.journal.flush()
	s.storeLock.Lock()
	defer s.storeLock.Unlock()
	if s.store == nil {
		return
	}
	if err := s.store.Close(); err != nil {
		s.Log.Warn("close the image store", "error", err)
	}
}

// images opens the store when it is first needed: a damaged one must not keep
// sandboxes that run from being stopped.
func (s *Supervisor) images() (*image.Store, error) {
	s.storeLock.Lock()
	defer s.storeLock.Unlock()
	if s.resetting {
		return nil, errReset
	}
	if s.store != nil {
		return s.store, nil
	}
	program, err := s.overlay.program(s)
	if err != nil {
		return nil, err
	}
	store, err := image.OpenWith(s.Dirs.Storage(), s.Dirs.StorageRun(), program)
	if err != nil {
		return nil, err
	}
	s.store = store
	return store, nil
}

// accept starts a goroutine for each command line.
func (s *Supervisor) accept(ctx context.Context) error {
	rc, err := s.Listen.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { s.Listen.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		var fd int
		err := error(unix.EAGAIN)
		if e := rc.Read(func(listen uintptr) bool {
			fd, _, err = unix.Accept4(int(listen), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return err != unix.EAGAIN
		}); e != nil {
			return s.drained(e)
		}
		switch err {
		case nil:
			s.enter()
			go s.converse(ctx, fd)
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS:
			// The connection stays in the queue; those that are open end some time.
			s.Log.Warn("accept", "error", err)
			time.Sleep(50 * time.Millisecond)
		default:
			return os.NewSyscallError("accept4", err)
		}
	}
}

func (s *Supervisor) drained(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return fmt.Errorf("accept: %w", err)
}

func (s *Supervisor) enter() {
	s.mu.Lock()
	s.active++
	s.mu.Unlock()
}

func (s *Supervisor) leave() {
	s.mu.Lock()
	s.active--
	s.last = time.Now()
	s.mu.Unlock()
}

// watchIdle ends the process when nobody needs it. The keeper starts another one
// if somebody connects at that very moment.
func (s *Supervisor) watchIdle(ctx context.Context, cancel func()) {
	tick := time.NewTicker(max(s.Idle/10, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if s.idle() {
				cancel()
				return
			}
		}
	}
}

func (s *Supervisor) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.active > 0 || time.Since(s.last) < s.Idle {
		return false
	}
	for _, b := range s.boxes {
		if b.link != nil || b.again != nil {
			return false
		}
	}
	return true
}

// converse answers one command line.
func (s *Supervisor) converse(ctx context.Context, fd int) {
	defer s.leave()
	conn, err := api.ConnFd(fd, "client")
	if err != nil {
		unix.Close(fd)
		return
	}
	defer conn.Close()
	if uid, _, err := conn.Peer(); err != nil || uid != os.Geteuid() {
		s.Log.Warn("a connection was refused", "uid", uid, "error", err)
		return
	}
	if err := conn.Send(api.KindHello, &api.Hello{Protocol: api.Protocol, Version: api.Version, Data: s.Dirs.Data}); err != nil {
		return // gone already
	}
	p, err := conn.Recv()
	if err != nil {
		return
	}
	defer p.CloseFiles()
	// What the monitors have reported before this request was made must be known
	// before it is answered.
	s.events.drain()
	c := &conversation{s: s, conn: conn, packet: p, ctx: ctx}
	if err := c.answer(); err != nil {
		e := api.Wrap(p.Kind, "", err)
		if err := conn.Send(api.KindFault, e); err != nil {
			s.Log.Debug("a client did not wait for its error", "error", e)
		}
	}
}
