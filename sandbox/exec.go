package sandbox

import (
	"context"
	"slices"

	"sbx/api"
	"sbx/sandbox/pid1"
)

// execProgram is a further program in a sandbox: restricted like the first one,
// with its environment, and as its user unless another is named.
func (s *Supervisor) execProgram(c *api.Config, e *api.ExecSpec) (*pid1.Program, error) {
	p := *c
	p.Process.Entrypoint, p.Process.Cmd = nil, e.Args
	p.Process.Init = false
	p.Process.TTY = e.TTY
	p.Process.Env = mergeEnv(p.Process.Env, e.Env)
	if e.User != "" {
		p.Process.User = e.User
		// The first user's home is not this one's; an image has none that is ours.
		if c.Image == api.HostImage {
			p.Process.Env = slices.DeleteFunc(p.Process.Env, func(kv string) bool { return kv == "HOME="+c.Caller.Home })
		}
	}
	if e.WorkDir != "" {
		p.Process.WorkDir = e.WorkDir
	}
	if e.Privileged {
		p.Isolation.Privileged = true
		p.Isolation.NoNewPrivileges = false
	}
	return s.program(&p)
}

// gone is a context that ends when the command line has closed its connection.
func (c *conversation) gone() context.Context {
	ctx, cancel := context.WithCancel(c.ctx)
	go func() {
		defer cancel()
		for {
			p, err := c.conn.Recv()
			if err != nil {
				return
			}
			p.CloseFiles() // nothing is expected
		}
	}()
	return ctx
}
