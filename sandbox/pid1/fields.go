package pid1

import "sbx/internal/wire"

// Fields implements wire.Message.
func (s *Spec) Fields(c *wire.Coder) {
	c.String(&s.Hostname)
	c.String(&s.Domain)
	s.Root.Fields(c)
	wire.List(c, &s.Mounts)
	s.Program.Fields(c)
	wire.Int(c, &s.ShmSize)
	wire.Optional(c, &s.Account, func(a *Account) { a.Fields(c) })
	c.Map(&s.Sysctls)
}

// Fields implements wire.Message.
func (a *Account) Fields(c *wire.Coder) {
	c.String(&a.Name)
	c.String(&a.Group)
	wire.Int(c, &a.UID)
	wire.Int(c, &a.GID)
	c.String(&a.Home)
}

// Fields implements wire.Message.
func (r *Root) Fields(c *wire.Coder) {
	c.String(&r.Dir)
	c.Strings(&r.Lower)
	c.String(&r.Upper)
	c.String(&r.Work)
	c.Bool(&r.Volatile)
	c.Bool(&r.Mounted)
	c.Bool(&r.Shown)
	c.String(&r.Host)
	c.Strings(&r.Private)
	c.Bool(&r.ReadOnly)
}

// Fields implements wire.Message.
func (p *Program) Fields(c *wire.Coder) {
	c.Strings(&p.Args)
	c.Strings(&p.Env)
	c.String(&p.WorkDir)
	c.String(&p.User)
	c.Strings(&p.Groups)
	wire.List(c, &p.Rlimits)
	wire.Int(c, &p.Caps)
	c.Bool(&p.NoNewPrivs)
	c.Bytes(&p.Seccomp)
	c.Bool(&p.TTY)
	c.Bool(&p.Init)
	wire.Optional(c, &p.OOMScoreAdj, func(adj *int) { wire.Int(c, adj) })
}

// Fields implements wire.Message.
func (o *Order) Fields(c *wire.Coder) {
	c.Bytes(&o.What)
	o.Stdio.Fields(c)
	c.Bool(&o.Root)
}

// Fields implements wire.Message.
func (s *Stdio) Fields(c *wire.Coder) {
	c.Bool(&s.In)
	c.Bool(&s.Out)
	c.Bool(&s.Err)
	s.Size.Fields(c)
}
