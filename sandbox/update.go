package sandbox

import (
	"context"
	"reflect"
	"slices"

	"sbx/api"
	"sbx/cgroup"
)

func (c *conversation) update(r *api.Update) error {
	return c.each(r.Names, func(name string) error { return c.s.update(c.ctx, name, r) })
}

// update changes what a sandbox may use: now, if it runs, and for every start to
// come.
func (s *Supervisor) update(ctx context.Context, name string, r *api.Update) error {
	b, l, err := s.findRunning(ctx, name)
	if err != nil {
		return err
	}
	b.control.Lock()
	defer b.control.Unlock()
	if !reflect.ValueOf(r.Limits).IsZero() {
		if err := s.updateLimits(b, l != nil, &r.Limits); err != nil {
			return err
		}
	}
	if r.Restart != nil {
		if err := s.setRestart(b, *r.Restart); err != nil {
			return err
		}
	}
	s.noteBox(b, "update")
	return nil
}

func (s *Supervisor) updateLimits(b *box, running bool, change *api.Limits) error {
	s.mu.Lock()
	c := b.config
	s.mu.Unlock()
	limits, err := cgroup.Merge(c.Limits, *change)
	if err != nil {
		return err
	}
	plan, err := s.planLimits(&c, limits)
	if err != nil {
		return err
	}
	if running && len(plan) > 0 {
		group, err := s.groupOf("limit", b)
		if err != nil {
			return err
		}
		if err := group.Set(plan); err != nil {
			return err
		}
	}
	return s.amend(b, func(c *api.Config) { c.Limits = settled(limits) })
}

// settled leaves out what was only said to take an earlier limit away.
func settled(l api.Limits) api.Limits {
	l.Memory, l.MemoryReservation, l.CPUQuota = max(l.Memory, 0), max(l.MemoryReservation, 0), max(l.CPUQuota, 0)
	if l.Memory == 0 {
		l.MemorySwap = 0
	}
	for _, rates := range []*[]api.Throttle{&l.DeviceReadBps, &l.DeviceWriteBps, &l.DeviceReadIOps, &l.DeviceWriteIOps} {
		*rates = slices.DeleteFunc(*rates, func(t api.Throttle) bool { return t.Rate == 0 })
	}
	return l
}
