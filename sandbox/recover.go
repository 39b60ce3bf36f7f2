package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
	"sbx/sandbox/monitor"
	"sbx/slirp/ports"
)

// recover finds what earlier supervisors have left: sandboxes that run on,
// sandboxes that have ended meanwhile, and what was half made or half removed.
func (s *Supervisor) recover() error {
	entries, err := os.ReadDir(s.Dirs.Sandboxes())
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(s.Dirs.Sandboxes(), e.Name())
		var config api.Config
		err := readJSON(filepath.Join(dir, "config.json"), &config)
		switch {
		case errors.Is(err, os.ErrNotExist):
			// A slot, or a request that was not finished. A slot's monitor ends by itself.
			s.clear(e.Name())
			s.dropGroup(s.groupPath(e.Name()))
		case err != nil || config.ID != e.Name():
			// It is not ours to delete what cannot be read, or was put there by
			// somebody else: it may hold data.
			s.Log.Warn("a sandbox cannot be read and is left alone", "dir", dir, "error", err)
		default:
			s.restore(config, dir)
		}
	}
	if err := s.sweepRuns(); err != nil {
		return err
	}
	go s.recoverVolumes()
	s.sweepGroups()
	s.recoverWayOuts()
	if len(s.connected()) == 0 && !ports.Published(s.Dirs.Run) {
		return nil
	}
	// Names and resolvers are ours to serve, for those that run.
	if _, err := s.network(); err != nil {
		s.Log.Error("the networks do not work", "error", err)
	}
	return nil
}

// sweepRuns removes the runtime directories of sandboxes that there are no more: one
// whose files went to the next one (recycle) has only that left for a moment.
func (s *Supervisor) sweepRuns() error {
	runs, err := os.ReadDir(s.Dirs.Run)
	if err != nil {
		return err
	}
	for _, e := range runs {
		if _, err := os.Lstat(filepath.Join(s.Dirs.Sandboxes(), e.Name())); errors.Is(err, os.ErrNotExist) {
			s.clearRun(e.Name())
		}
	}
	return nil
}

func (s *Supervisor) restore(config api.Config, dir string) {
	b := newBox(config, dir)
	err := readJSON(filepath.Join(dir, "state.json"), &b.status)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.Log.Warn("read state", "id", shortID(config.ID), "error", err)
	}
	s.boxes[config.ID], s.names[config.Name] = b, b
	s.readRevival(b)
	l, err := s.reconnect(b)
	if err == nil {
		s.rejoin(b, l)
		s.refind(b)
		status := b.status
		l.box, b.link = b, l
		b.told = b.status.State == api.Running // by the last supervisor
		s.resumeHealth(b)
		s.resumeMemory(b)
		s.slots.born(l)
		if err = s.events.add(l); err == nil {
			s.missed(b, l, status)
			return
		}
		s.slots.died(l)
		b.link = nil
		l.conn.Close()
	}
	s.settle(b)
}

// missed makes up for the report of an end that the last supervisor may not have
// heard: the monitor is about to leave, or to offer itself for another sandbox.
func (s *Supervisor) missed(b *box, l *link, status api.Status) {
	if status.State != api.Exited {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.programEnded(b, l, status)
}

// reconnect greets the monitor of a sandbox that may still run.
func (s *Supervisor) reconnect(b *box) (*link, error) {
	conn, err := api.Dial(s.Dirs.Monitor(b.config.ID), false)
	if err != nil {
		return nil, err
	}
	_, pid, err := conn.Peer()
	if err == nil {
		// It speaks first. One that is stopped, or hangs, must not stop us.
		err = conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	}
	var p *api.Packet
	if err == nil {
		p, err = conn.Recv()
	}
	l := &link{id: b.config.ID, conn: conn, pid: pid, ready: make(chan struct{}), buried: make(chan struct{})}
	l.setReady()
	if err == nil && p.Kind != monitor.KindStatus {
		err = api.Errorf("reconnect", b.config.ID, "the monitor said %q", p.Kind)
	}
	if err == nil {
		err = p.Decode(&b.status)
	}
	if err == nil {
		l.monitor, err = sys.Pidfd(pid)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	if len(p.Files) == 1 {
		l.program, p.Files = p.Files[0], nil
	}
	p.CloseFiles()
	if b.status.State != api.Created {
		b.setBegun()
	}
	l.group = b.status.Cgroup
	return l, conn.SetReadDeadline(time.Time{})
}

// rejoin reads what a running sandbox has of the network.
func (s *Supervisor) rejoin(b *box, l *link) {
	var err error
	b.shared = true // as it may be: that is not recorded
	b.net, err = readJoined(s.joinedFile(b.config.ID))
	if err == nil && (wantsNetwork(&b.config) || wantsWayOut(&b.config)) { // it may be on none at the moment
		// The pid is its own: reconnect has heard of it from its parent.
		l.netns, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", b.status.PID))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.Log.Warn("take over the network", "id", shortID(b.config.ID), "error", err)
	}
}

// settle records the end of a sandbox that has no monitor any more.
func (s *Supervisor) settle(b *box) {
	untold := s.endUntold(b)
	s.leaveNetworks(b) // what is left of a way out of its own
	s.clearRun(b.config.ID)
	if b.status.State == api.Running {
		s.killLeft(b)
		s.dropGroup(b.status.Cgroup)
		b.status.State, b.status.Unknown = api.Exited, true
		b.status.FinishedAt = time.Now().UTC()
		b.status.ExitCode = 255
		b.status.Error = "the monitor was killed: the exit status is not known"
		if err := writeJSON(filepath.Join(b.dir, "state.json"), b.status, false); err != nil {
			s.Log.Warn("save state", "id", shortID(b.config.ID), "error", err)
		}
	}
	b.setBegun()
	close(b.ended)
	close(b.gone)
	if untold {
		b.told = true
		s.noteEnd(b)
	}
	if b.config.Lifecycle.AutoRemove {
		s.unlist(b)
		s.dropVolumes(b)
		s.clear(b.config.ID)
		s.noteGone(b)
		return
	}
	s.decideLate(b)
}

// endUntold says that no supervisor has noticed the end of a program: that one would
// have cleared its runtime directory.
func (s *Supervisor) endUntold(b *box) bool {
	_, err := os.Stat(s.Dirs.RunOf(b.config.ID))
	return b.status.State == api.Running || b.status.State == api.Exited && err == nil
}

// killLeft ends a program whose monitor is gone. Its pid may be another process's
// by now: the start time tells.
func (s *Supervisor) killLeft(b *box) {
	program, err := sys.Find(b.status.PID, b.status.PIDStart)
	if err != nil {
		return // it has ended
	}
	defer program.Close()
	if err := sys.Signal(program, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		s.Log.Warn("kill", "id", shortID(b.config.ID), "error", err)
	}
}
