package sandbox

import (
	"errors"
	"fmt"
	"os"
	"time"

	"sbx/api"
	"sbx/image"
	"sbx/sandbox/monitor"
	"sbx/view"
)

func (c *conversation) start(r *api.Start) error {
	if r.Attach {
		return c.s.startAgain(r.Names[0], c.conn, r.Stdio, c)
	}
	return c.each(r.Names, func(name string) error { return c.s.startAgain(name, nil, api.Stdio{}, nil) })
}

// pass hands the command line's connection and files to a monitor.
func (c *conversation) pass(name, kind string, request any) error {
	b, l, err := c.s.findRunning(c.ctx, name)
	if err != nil {
		return err
	}
	if l != nil {
		err = c.s.tell(l, b, kind, request, append([]*os.File{c.conn.File()}, c.packet.Files...)...)
	}
	if l == nil || errors.Is(err, errOver) {
		return api.Errorf(kind, name, "the sandbox is not running").WithHint("start it: sbx start %s", name).WithCode(1)
	}
	return err
}

func (c *conversation) attach(r *api.Attach) error {
	return c.pass(r.Name, monitor.KindAttach, monitor.Attach{Stdio: r.Stdio})
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
	return c.pass(r.Name, monitor.KindExec, monitor.Exec{Program: *program, Stdio: r.Stdio, Detach: r.Spec.Detach})
}

func (c *conversation) wait(r *api.Names) error {
	code := 0
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
		c.s.mu.Lock()
		ended, linked := b.ended, b.link != nil
		c.s.mu.Unlock()
		if linked && !await(c.gone(), ended, nil) {
			return nil // the command line has gone
		}
		c.s.mu.Lock()
		status := b.status
		c.s.mu.Unlock()
		if err := c.out(fmt.Sprintf("%d\n", status.ExitCode)); err != nil {
			return err
		}
	}
	return c.conn.Send(api.KindDone, &api.Done{Code: code})
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
	return c.done("sha256:" + img.ID + "\n")
}
