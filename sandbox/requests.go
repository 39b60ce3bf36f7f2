package sandbox

import (
	"errors"
	"os"
	"strings"
	"time"

	"sbx/api"
	"sbx/image"
	"sbx/sandbox/monitor"
	"sbx/view"
)

func (c *conversation) start(r *api.Start) error {
	if r.Attach {
		return c.s.startAgain(r.Names[0], r.Stdio, c, true)
	}
	return c.each(r.Names, func(name string) error { return c.s.startAgain(name, api.Stdio{}, c, false) })
}

// mostWords bounds how much of a command is recorded, in bytes.
const mostWords = 1 << 10

// pass hands the command line's connection and files to a monitor. Before that it
// takes note of the actions.
func (c *conversation) pass(name, kind string, request any, note func(*api.Config)) error {
	b, l, err := c.s.findRunning(c.ctx, name)
	if err != nil {
		return err
	}
	if l != nil {
		c.s.mu.Lock()
		if err = b.notPaused(kind, name); err == nil {
			err = b.notOlder(kind)
		}
		if err == nil {
			note(&b.config)
		}
		c.s.mu.Unlock()
		if err != nil {
			return err
		}
		err = c.s.tell(l, b, kind, request, append([]*os.File{c.conn.File()}, c.packet.Files...)...)
	}
	if l == nil || errors.Is(err, errOver) {
		c.s.mu.Lock()
		restarting := b.again != nil
		c.s.mu.Unlock()
		if restarting {
			return api.Errorf(kind, name, "the sandbox is restarting").WithHint("wait until it runs").WithCode(1)
		}
		return api.Errorf(kind, name, "the sandbox is not running").WithHint("start it: sbx start %s", name).WithCode(1)
	}
	return err
}

// notOlder is an error for a sandbox that an earlier version of sbx has started and whose
// monitor takes orders in another form. It lives on, and can be stopped. The caller holds
// the lock.
func (b *box) notOlder(what string) error {
	if b.status.Protocol == api.Protocol {
		return nil
	}
	return api.Errorf(what, b.config.Name, "another version of sbx has started it").WithHint("sbx restart %s", b.config.Name).WithCode(1)
}

func (c *conversation) attach(r *api.Attach) error {
	return c.pass(r.Name, monitor.KindAttach, monitor.Attach{Stdio: r.Stdio}, func(config *api.Config) { c.s.note(config, "attach") })
}

func (c *conversation) exec(r *api.Exec) error {
	if len(r.Spec.Args) == 0 || r.Spec.Args[0] == "" {
		return api.Errorf("exec", r.Name, "no command is given")
	}
	c.s.mu.Lock()
	b, err := c.s.find(r.Name)
	var config api.Config
	if err == nil {
		config = b.config
		b.traces = b.traces || r.Spec.Privileged
	}
	c.s.mu.Unlock()
	if err != nil {
		return err
	}
	program, err := c.s.execProgram(&config, &r.Spec)
	if err != nil {
		return err
	}
	id := newID()
	request := monitor.Exec{Program: *program, Stdio: r.Stdio, Detach: r.Spec.Detach, ID: id}
	return c.pass(r.Name, monitor.KindExec, request, func(config *api.Config) {
		words := strings.Join(r.Spec.Args, " ")
		words = words[:min(len(words), mostWords)]
		c.s.note(config, "exec_create: "+words, "execID", id)
		c.s.note(config, "exec_start: "+words, "execID", id)
	})
}

func (c *conversation) list(r *api.List) error {
	text, err := view.List(c.s.sandboxes(), *r, time.Now())
	if err != nil {
		return err
	}
	return c.done(text)
}

func (c *conversation) logs(r *api.Name) error {
	b, _, err := c.s.findRunning(c.ctx, r.Name)
	if err != nil {
		return err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return c.conn.Send(api.KindDone, api.Log{Dir: b.dir, Running: b.running(), Direct: b.status.Direct, ID: b.config.ID})
}

func (c *conversation) imports(r *api.Import) error {
	if len(c.packet.Files) != 1 {
		return api.Errorf("import", r.Source, "no archive came with the request")
	}
	store, err := c.s.images()
	if err != nil {
		return err
	}
	img, err := store.Import(c.gone(), c.packet.Files[0], image.ImportOptions{
		Name: r.Name, Message: r.Message, Source: r.Source, Changes: r.Changes,
	})
	if err != nil {
		return err
	}
	c.s.noteImage("import", img.ID, r.Name)
	return c.done("sha256:" + img.ID + "\n")
}
