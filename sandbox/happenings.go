package sandbox

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/view"
)

// happenings prints what has happened, if a time is given, and what happens, until a
// time that is given, or until the command line goes away.
func (c *conversation) happenings(r *api.Events) error {
	wanted, err := view.ParseEvents(*r, time.Now())
	if err != nil {
		return err
	}
	ctx := c.gone()
	if !wanted.Until.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, wanted.Until)
		defer cancel()
	}
	feed, err := c.past(wanted)
	if feed != nil {
		defer feed.close()
	}
	if err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return c.done("")
		case e := <-feed.next:
			if err := c.happened(wanted, feed, e); err != nil {
				return err
			}
		}
	}
}

// happened prints an event, and those that have come meanwhile.
func (c *conversation) happened(wanted *view.Events, feed *feed, e *view.Event) error {
	const most = 16 << 10 // bytes of a packet
	var text strings.Builder
	for e != nil {
		line, err := wanted.Line(e)
		if err != nil {
			return err
		}
		text.WriteString(line)
		e = nil
		if text.Len() < most {
			select {
			case e = <-feed.next:
			default:
			}
		}
	}
	if err := c.out(text.String()); err != nil {
		return err
	}
	if n := feed.lost.Swap(0); n > 0 {
		return c.complain(fmt.Errorf("events: %d were left out: they are not read as fast as they come", n))
	}
	return nil
}

// past prints what is recorded. Without a time there is nothing to print.
func (c *conversation) past(wanted *view.Events) (*feed, error) {
	if wanted.Since.IsZero() && wanted.Until.IsZero() {
		return c.s.journal.follow(wanted.Wanted), nil
	}
	sections, feed, err := c.s.journal.past(wanted.Wanted)
	for i := range sections {
		defer sections[i].file.Close()
	}
	if err != nil {
		return feed, dirs.DiskError("read", c.s.journal.path, err)
	}
	var text strings.Builder
	for i := range sections {
		err := sections[i].read(func(e *view.Event) error {
			if !wanted.Wanted(e) {
				return nil
			}
			line, err := wanted.Line(e)
			if err != nil {
				return err
			}
			if text.WriteString(line); text.Len() < 16<<10 {
				return nil
			}
			defer text.Reset()
			return c.out(text.String())
		})
		if err != nil {
			return feed, err
		}
	}
	if text.Len() == 0 {
		return feed, nil
	}
	return feed, c.out(text.String())
}
