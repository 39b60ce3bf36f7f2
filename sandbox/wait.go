package sandbox

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"sbx/api"
	"sbx/view"
)

// wait waits for several sandboxes, one after the other.
func (c *conversation) wait(r *api.Wait) error {
	if known := []string{"", api.WaitNotRunning, api.WaitNextExit, api.WaitRemoved, api.WaitOver}; !slices.Contains(known, r.Condition) {
		return api.Errorf("wait", view.Safe(r.Condition), "no such condition").
			WithHint("conditions are not-running, next-exit and removed")
	}
	ctx, code := c.gone(), 0
	for _, name := range r.Names {
		c.s.mu.Lock()
		b, err := c.s.find(name)
		c.s.mu.Unlock()
		if err != nil {
			code = 1
			if err := c.complain(err); err != nil {
				return err
			}
			continue
		}
		status, ok := c.s.waitFor(ctx, b, r.Condition)
		if !ok {
			return nil // the command line has gone
		}
		if err := c.out(fmt.Sprintf("%d\n", status)); err != nil {
			return err
		}
	}
	return c.conn.Send(api.KindDone, &api.Done{Code: code})
}

// waitFor waits until a sandbox has come to a condition and gives its exit status.
// It says false if ctx has ended before.
func (s *Supervisor) waitFor(ctx context.Context, b *box, condition string) (code int, ok bool) {
	id := b.config.ID // never changes
	feed := s.journal.follow(func(e *view.Event) bool { return e.Actor.ID == id && e.Type == view.ContainerEvent })
	defer feed.close()
	for {
		s.mu.Lock()
		live, over := b.live(), !b.live() && b.again == nil
		status, ended, removed := b.status, b.ended, b.cleared
		s.mu.Unlock()
		switch condition {
		case "", api.WaitNotRunning, api.WaitOver:
			if over || removed {
				return status.ExitCode, true
			}
		default:
			if removed {
				return status.ExitCode, true
			}
		}
		if !live {
			ended = nil
		}
		var e *view.Event
		select {
		case <-ctx.Done():
			return 0, false
		case e = <-feed.next:
		case <-ended:
			// Told of before: the next program of the sandbox may run by now. One that
			// never ran has no end to tell of.
			select {
			case e = <-feed.next:
			default:
				continue
			}
		}
		if e.Action != "die" || condition == api.WaitRemoved || condition == api.WaitOver {
			continue
		}
		code, err := strconv.Atoi(e.Actor.Attributes["exitCode"])
		return code, err == nil
	}
}
