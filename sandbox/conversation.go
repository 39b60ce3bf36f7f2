package sandbox

import (
	"context"
	"errors"

	"sbx/api"
)

// conversation is one command line and its request.
type conversation struct {
	s      *Supervisor
	conn   *api.Conn
	packet *api.Packet
	ctx    context.Context
}

var errVerb = errors.New("this supervisor does not know the command")

// answer carries the request out. An error becomes the answer.
func (c *conversation) answer() error {
	if err := c.adviseElsewhere(); err != nil {
		return err
	}
	switch c.packet.Kind {
	case api.VerbRun:
		return with(c, c.run)
	case api.VerbExec:
		return with(c, c.exec)
	case api.VerbCreate:
		return with(c, c.create)
	case api.VerbStart:
		return with(c, c.start)
	case api.VerbAttach:
		return with(c, c.attach)
	case api.VerbStop:
		return with(c, c.stop)
	case api.VerbRestart:
		return with(c, c.restart)
	case api.VerbKill:
		return with(c, c.kill)
	case api.VerbRemove:
		return with(c, c.remove)
	case api.VerbWait:
		return with(c, c.wait)
	case api.VerbEvents:
		return with(c, c.happenings)
	case api.VerbRename:
		return with(c, c.rename)
	case api.VerbList:
		return with(c, c.list)
	case api.VerbInspect:
		return with(c, c.inspect)
	case api.VerbLogs:
		return with(c, c.logs)
	case api.VerbCopy:
		return with(c, c.copy)
	case api.VerbPause:
		return with(c, c.pause)
	case api.VerbUnpause:
		return with(c, c.unpause)
	case api.VerbUpdate:
		return with(c, c.update)
	case api.VerbStats:
		return with(c, c.stats)
	case api.VerbTop:
		return with(c, c.top)
	case api.VerbInfo:
		return with(c, c.info)
	case api.VerbVersion:
		return with(c, c.version)
	case api.VerbImport:
		return with(c, c.imports)
	case api.VerbNames:
		return with(c, c.complete)
	}
	for _, answer := range []func() (known bool, err error){c.answerImages, c.answerNetworks, c.answerVolumes} {
		if known, err := answer(); known {
			return err
		}
	}
	if verb := c.s.Verbs[c.packet.Kind]; verb != nil {
		return c.hand(verb)
	}
	return api.Errorf("answer", c.packet.Kind, "%v", errVerb).
		WithHint("sbx and sbxd are of different versions: stop all sandboxes, or wait until the supervisor is idle")
}

// with decodes the request for its handler.
func with[T any](c *conversation, handle func(*T) error) error {
	var request T
	if err := c.packet.Decode(&request); err != nil {
		return err
	}
	return handle(&request)
}

func (c *conversation) out(text string) error {
	return c.conn.Send(api.KindOut, &api.Text{Text: text})
}

func (c *conversation) done(text string) error {
	return c.conn.Send(api.KindDone, &api.Done{Text: text})
}

// each does something to several sandboxes, prints the name of each that it was
// done to and an error for each that it was not, and ends with status 1 if there
// was one.
func (c *conversation) each(names []string, do func(name string) error) error {
	code := 0
	for _, name := range names {
		if err := do(name); err != nil {
			code = 1
			if err := c.complain(err); err != nil {
				return err
			}
			continue
		}
		if err := c.out(name + "\n"); err != nil {
			return err
		}
	}
	return c.conn.Send(api.KindDone, &api.Done{Code: code})
}

func (c *conversation) run(r *api.Run) error {
	if err := c.fetch(&r.Spec, &r.Fetch); err != nil {
		return err
	}
	if err := c.adviseLinger(r); err != nil {
		return err
	}
	if err := c.adviseLone(&r.Spec); err != nil {
		return err
	}
	return c.s.run(r, c)
}

func (c *conversation) create(r *api.Create) error {
	if err := c.fetch(&r.Spec, &r.Fetch); err != nil {
		return err
	}
	if err := c.adviseLone(&r.Spec); err != nil {
		return err
	}
	id, err := c.s.create(r.Spec, c)
	if err != nil {
		return err
	}
	return c.done(id + "\n")
}

func (c *conversation) rename(r *api.Rename) error {
	c.s.mu.Lock()
	b, err := c.s.find(r.Name)
	c.s.mu.Unlock()
	if err != nil {
		return err
	}
	c.s.remember(b)
	if err := c.s.rename(r.Name, r.New); err != nil {
		return err
	}
	if err := c.s.relearn(r.New); err != nil {
		return err
	}
	return c.done("")
}

func (c *conversation) remove(r *api.Remove) error {
	return c.each(r.Names, func(name string) error { return c.s.remove(name, r.Force, r.Volumes) })
}

func (c *conversation) kill(r *api.Kill) error {
	return c.each(r.Names, func(name string) error { return c.s.kill(c.ctx, name, r.Signal) })
}

func (c *conversation) stop(r *api.Stop) error {
	return c.each(r.Names, func(name string) error { return c.s.stop(c.ctx, name, r, false) })
}

func (c *conversation) restart(r *api.Stop) error {
	return c.each(r.Names, func(name string) error { return c.s.restart(c.ctx, name, r, c) })
}
