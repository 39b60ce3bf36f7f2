package sandbox

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/dirs"
)

// How long a program that has ended waits for its restart, as in Docker: twice as
// long each time, until it has run for a while.
const (
	firstDelay  = 100 * time.Millisecond
	longDelay   = time.Minute
	ranWell     = 10 * time.Second
	mostRevived = 4 // sandboxes that are started at a time
)

// revival is restart.json: what has become of the restart policy of a sandbox
// since the user last started it. Only the supervisor writes it.
type revival struct {
	Count int           `json:"count,omitempty"`   // restarts so far
	Delay time.Duration `json:"delay,omitempty"`   // before the last of them
	Ended time.Time     `json:"ended,omitzero"`    // the end that it follows
	Hand  bool          `json:"by_hand,omitempty"` // the user has stopped the sandbox
	Boot  string        `json:"boot,omitempty"`    // of the machine, when that was
}

// again is a restart that is to come, or has just begun.
type again struct {
	due   time.Time
	timer *time.Timer // nil: the last program is not quite gone
}

// errWithdrawn says that the user has stopped, started or removed a sandbox that
// was about to be restarted.
var errWithdrawn = errors.New("the restart was withdrawn")

// after says whether a program that has ended is to be restarted, and how.
func (r revival) after(p *api.Restart, status *api.Status) (revival, bool) {
	switch {
	case r.Hand:
		return r, false
	case p.Name == api.RestartAlways, p.Name == api.RestartUnlessStopped:
	case p.Name == api.RestartOnFailure && status.ExitCode != 0 && (p.Max == 0 || r.Count < p.Max):
	default:
		return r, false
	}
	if status.FinishedAt.Sub(status.StartedAt) >= ranWell && !status.StartedAt.IsZero() {
		r.Delay = 0
	}
	r.Delay = min(max(2*r.Delay, firstDelay), longDelay)
	r.Count++
	r.Ended = status.FinishedAt
	return r, true
}

// decide plans the restart of a program that has ended, if its policy wants one.
// The caller holds the lock.
func (s *Supervisor) decide(b *box) {
	b.again = nil
	next, yes := b.revival.after(&b.config.Lifecycle.Restart, &b.status)
	if !yes || b.removed {
		return
	}
	b.revival = next
	b.again = &again{due: b.status.FinishedAt.Add(next.Delay)}
}

// decideLate is decide for a sandbox that is found ended by a new supervisor.
func (s *Supervisor) decideLate(b *box) {
	p := &b.config.Lifecycle.Restart
	if p.None() || b.status.State != api.Exited {
		return
	}
	r := &b.revival
	switch {
	case r.Hand && p.Name == api.RestartAlways && r.Boot != bootID():
		*r = revival{}
		b.again = &again{due: time.Now()}
	case !r.Hand && r.Ended.Equal(b.status.FinishedAt) && r.Count > 0:
		// The last supervisor has decided, and did not come to it.
		b.again = &again{due: b.status.FinishedAt.Add(r.Delay)}
	default:
		s.decide(b)
	}
}

// arm sets the clock for a restart that was decided on, once nothing is left of
// the last program.
func (s *Supervisor) arm(b *box) {
	s.mu.Lock()
	a := b.again
	if a == nil || a.timer != nil || b.link != nil || b.removed {
		s.mu.Unlock()
		return
	}
	a.timer = time.AfterFunc(time.Until(a.due), func() { s.revive(b, a) })
	s.mu.Unlock()
	s.saveRevival(b)
}

// armAll sets the clocks that the last supervisor has left.
func (s *Supervisor) armAll() {
	s.mu.Lock()
	var list []*box
	for _, b := range s.boxes {
		if b.again != nil {
			list = append(list, b)
		}
	}
	s.mu.Unlock()
	for _, b := range list {
		s.arm(b)
	}
}

// withdraw gives up a restart that is to come. The caller holds the lock.
func (b *box) withdraw() bool {
	if b.again == nil {
		return false
	}
	if b.again.timer != nil {
		b.again.timer.Stop() // it may have fired: revive looks at b.again
	}
	b.again = nil
	return true
}

// byHand takes note that the user ends a sandbox: its policy is not to start it
// again. It says whether that was about to happen. The caller holds the lock, and
// calls saveRevival later.
func (s *Supervisor) byHand(b *box) bool {
	b.revival.Hand = true
	return b.withdraw()
}

// startedByHand begins a new account for a sandbox that the user starts.
func (s *Supervisor) startedByHand(b *box) {
	s.mu.Lock()
	b.withdraw()
	b.revival = revival{}
	s.mu.Unlock()
	s.saveRevival(b)
}

// saveRevival writes restart.json, if the sandbox has a policy.
func (s *Supervisor) saveRevival(b *box) {
	b.saving.Lock()
	defer b.saving.Unlock()
	s.mu.Lock()
	r, none, removed := b.revival, b.config.Lifecycle.Restart.None(), b.removed
	s.mu.Unlock()
	if none || removed {
		return
	}
	if r.Hand {
		r.Boot = bootID()
	}
	path := filepath.Join(b.dir, "restart.json")
	err := error(nil)
	if r == (revival{}) {
		if err = os.Remove(path); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	} else {
		err = writeJSON(path, r, false)
	}
	// One that is just being removed has no directory any more.
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.Log.Warn("save the restarts", "id", shortID(b.config.ID), "error", err)
	}
}

func (s *Supervisor) readRevival(b *box) {
	if b.config.Lifecycle.Restart.None() {
		return
	}
	err := readJSON(filepath.Join(b.dir, "restart.json"), &b.revival)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.Log.Warn("read the restarts", "id", shortID(b.config.ID), "error", err)
	}
}

// bootID names the time since the kernel was started. random(4).
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "" // no /proc: nothing works
	}
	return string(bytes.TrimSpace(id))
}

// revive starts a sandbox again, as its policy wants.
func (s *Supervisor) revive(b *box, a *again) {
	s.enter()
	defer s.leave()
	select {
	case s.reviving <- struct{}{}:
		defer func() { <-s.reviving }()
	case <-s.ctx.Done():
		return
	}
	err := s.startOnce(b, a, api.Stdio{}, nil, false)
	s.mu.Lock()
	stopped := (b.revival.Hand || b.removed) && b.live()
	link := b.link
	if err == nil && b.status.StartedAt.IsZero() {
		err = errors.New("it was killed before there was a program")
	}
	s.mu.Unlock()
	switch {
	case errors.Is(err, errWithdrawn), s.ctx.Err() != nil:
	case err != nil:
		s.stillborn(b, err)
	case stopped:
		// The user has stopped or removed it before there was anything to send a signal to.
		if err := s.signal(link, b, unix.SIGKILL); err != nil {
			s.Log.Warn("stop", "id", shortID(b.config.ID), "error", err)
		}
	}
}

// stillborn is the end of a sandbox that could not be restarted. What was in the
// way, a port in use, or a directory that is not mounted yet, may be gone later:
// its policy is asked as if a program had failed.
func (s *Supervisor) stillborn(b *box, cause error) {
	s.Log.Warn("restart", "id", shortID(b.config.ID), "error", cause)
	s.mu.Lock()
	gone, linked := b.gone, b.link != nil
	s.mu.Unlock()
	if linked {
		<-gone
	}
	s.mu.Lock()
	if b.removed || b.link != nil {
		s.mu.Unlock()
		return
	}
	e := api.Wrap("restart", b.config.Name, cause)
	b.status = api.Status{State: api.Exited, FinishedAt: time.Now().UTC(), ExitCode: e.ExitCode(), Error: e.Error()}
	status := b.status
	s.decide(b)
	s.mu.Unlock()
	if err := writeJSON(filepath.Join(b.dir, "state.json"), status, false); err != nil {
		s.Log.Warn("save state", "id", shortID(b.config.ID), "error", err)
	}
	s.arm(b)
}

// setRestart changes the policy of a sandbox. It counts from its next end on; a
// restart that the new policy does not want is withdrawn.
func (s *Supervisor) setRestart(b *box, p api.Restart) error {
	if err := checkRestart(&p); err != nil {
		return err
	}
	if b.config.Lifecycle.AutoRemove && !p.None() {
		return api.Errorf("update", b.config.Name, "the restart policy cannot be updated because --rm is enabled for the sandbox")
	}
	if err := s.amend(b, func(c *api.Config) { c.Lifecycle.Restart = p }); err != nil {
		return err
	}
	s.mu.Lock()
	switch {
	case p.None():
		b.withdraw()
	case !b.live() && b.again == nil:
		// It does not run because the user has not started it.
		b.revival.Hand = true
	}
	s.mu.Unlock()
	s.saveRevival(b)
	return nil
}

// checkRestart refuses what is no policy.
func checkRestart(p *api.Restart) error {
	switch p.Name {
	case "", api.RestartNo, api.RestartAlways, api.RestartUnlessStopped:
		if p.Max != 0 {
			return api.Errorf("restart policy", p.Name, "a maximum of retries is for on-failure only")
		}
	case api.RestartOnFailure:
		if p.Max < 0 {
			return api.Errorf("restart policy", p.Name, "the maximum of retries cannot be negative")
		}
	default:
		return api.Errorf("restart policy", p.Name, "there is no such policy").
			WithHint("policies are no, on-failure[:N], always and unless-stopped")
	}
	return nil
}

// amend changes the configuration of a sandbox, for good.
func (s *Supervisor) amend(b *box, change func(*api.Config)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.removed {
		return api.Errorf("configure", b.config.Name, "it has just been removed").WithCode(1)
	}
	c := b.config
	change(&c)
	if err := writeJSON(filepath.Join(b.dir, "config.json"), &c, true); err != nil {
		return dirs.DiskError("write", filepath.Join(b.dir, "config.json"), err)
	}
	b.config = c
	return nil
}
