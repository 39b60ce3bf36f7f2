package sandbox

import (
	"errors"
	"os"
	"path/filepath"

	"sbx/api"
	"sbx/cgroup"
	"sbx/sandbox/monitor"
)

// openHome reads where the parent of us all has put us, and clears what crashed
// supervisors have left there.
func (s *Supervisor) openHome() {
	var err error
	if s.home, err = cgroup.ReadHome(s.Dirs.Run); err != nil {
		s.Log.Error("sandboxes run without cgroups", "error", err)
	}
}

// groupPath is where the group of a slot is, if there is a home.
func (s *Supervisor) groupPath(id string) string {
	if !s.home.Exists() || !isID(id) {
		return ""
	}
	return filepath.Join(s.home.Path, id)
}

// sweepGroups removes the groups that no sandbox has. A home that is not ours alone
// may have those of another supervisor, with another runtime directory.
func (s *Supervisor) sweepGroups() {
	if s.home.Driver != cgroup.Systemd {
		return
	}
	used := map[string]bool{}
	for _, b := range s.boxes {
		if b.link != nil {
			used[b.link.group] = true
		}
	}
	if err := s.home.Sweep(func(path string) bool { return used[path] }); err != nil {
		s.Log.Warn("clear cgroups", "error", err)
	}
}

// makeGroup makes the cgroup of a sandbox that is about to be. One that has none is
// an error only for those that are to be limited, see limit.
func (s *Supervisor) makeGroup(p *monitor.Prepare, parent string) error {
	if !s.home.Exists() {
		return nil
	}
	g, err := s.home.Make(parent, p.ID)
	if err != nil {
		return err
	}
	p.Cgroup = g.Path
	return nil
}

// planLimits says what to write to the cgroup of a sandbox that is to have these limits.
func (s *Supervisor) planLimits(c *api.Config, l api.Limits) ([]cgroup.Write, error) {
	plan, err := s.home.Plan(l)
	if err != nil || len(plan) == 0 {
		return plan, err
	}
	caps, err := capabilities(&c.Isolation)
	if err == nil && caps&(1<<capSysAdmin) != 0 {
		err = s.home.Guards("limit " + c.Name)
	}
	return plan, err
}

// dropGroup removes the cgroup of a sandbox that has ended, with what it may have
// left in a pid namespace that is not its own.
func (s *Supervisor) dropGroup(path string) {
	if path == "" {
		return
	}
	g := s.home.Group(path)
	err := g.Kill()
	if errors.Is(err, os.ErrNotExist) {
		return // somebody else has removed it
	}
	if err = errors.Join(err, g.Remove()); err != nil {
		s.Log.Warn("remove the cgroup", "error", err)
	}
}

// limit sets the limits of a sandbox whose program is not started yet.
func (s *Supervisor) limit(c *api.Config, l *link) error {
	plan, err := s.planLimits(c, c.Limits)
	if err != nil || len(plan) == 0 {
		return err
	}
	if l.group == "" {
		return errors.Join(s.home.NoGroup("limit the sandbox"), l.groupless)
	}
	group := s.home.Group(l.group)
	if c.Limits.Memory > 0 {
		if err := s.watchMemory(group); err != nil {
			return err
		}
	}
	return group.Set(plan)
}

// groupOf is the cgroup of a sandbox that runs. The error says why it has none, and
// that op cannot be done therefore.
func (s *Supervisor) groupOf(op string, b *box) (cgroup.Group, error) {
	s.mu.Lock()
	path := b.status.Cgroup
	s.mu.Unlock()
	switch {
	case path != "":
		return s.home.Group(path), nil
	case s.home.Exists():
		return cgroup.Group{}, api.Errorf(op, b.config.Name, "the sandbox was started when there was none to be had").
			WithHint("start it again: sbx restart %s", b.config.Name)
	}
	return cgroup.Group{}, s.home.NoGroup(op + " " + b.config.Name)
}

// killGroup kills everything in the cgroup of a sandbox, a fork bomb included. The
// program itself dies by way of its monitor.
func (s *Supervisor) killGroup(l *link, b *box) error {
	l.turn.RLock()
	defer l.turn.RUnlock()
	s.mu.Lock()
	mine := l.box == b && l.group != ""
	s.mu.Unlock()
	if !mine {
		return nil
	}
	if err := s.home.Group(l.group).Kill(); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// watchMemory has want of memory told when it happens: the program need not be the
// one that dies of it.
func (s *Supervisor) watchMemory(group cgroup.Group) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch == nil {
		watch, err := cgroup.NewWatch()
		if err != nil {
			return limitError("watch cgroups", err)
		}
		s.watch = watch
		go s.followMemory(watch)
	}
	return s.watch.Add(group)
}

// resumeMemory is watchMemory for a sandbox that an earlier supervisor has started.
func (s *Supervisor) resumeMemory(b *box) {
	if b.link.group == "" || b.config.Limits.Memory <= 0 {
		return
	}
	group := s.home.Group(b.link.group)
	err := s.watchMemory(group)
	if err == nil {
		b.oomKills, err = group.OOMKills()
	}
	if err != nil {
		s.Log.Warn("watch the memory", "id", shortID(b.config.ID), "error", err)
	}
}

func (s *Supervisor) closeWatch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watch == nil {
		return
	}
	if err := s.watch.Close(); err != nil {
		s.Log.Warn("close the watch of cgroups", "error", err)
	}
}

func (s *Supervisor) followMemory(watch *cgroup.Watch) {
	for {
		e, err := watch.Next()
		if errors.Is(err, os.ErrClosed) {
			return
		}
		if err != nil {
			s.Log.Error("watch cgroups", "error", err)
			return
		}
		if e.OOMKills == 0 {
			continue
		}
		s.mu.Lock()
		for _, b := range s.boxes {
			if b.link != nil && b.link.group == e.Group.Path {
				s.noteMemory(b, e.OOMKills)
			}
		}
		s.mu.Unlock()
	}
}

// noteMemory tells that the kernel has killed so many processes of a sandbox. The
// caller holds the lock.
func (s *Supervisor) noteMemory(b *box, kills uint64) {
	for ; b.oomKills < kills; b.oomKills++ {
		s.note(&b.config, "oom")
	}
}
