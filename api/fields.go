package api

import "sbx/internal/wire"

// Fields of the packets that every run and exec exchanges: see package wire. A
// test fills every field of every type and fails where one is forgotten.

// Fields implements wire.Message. This one never changes: it is read before the
// protocol is known.
func (h *Hello) Fields(c *wire.Coder) {
	wire.Int(c, &h.Protocol)
	c.String(&h.Version)
	c.String(&h.Data)
}

// Fields implements wire.Message.
func (t *Text) Fields(c *wire.Coder) { c.String(&t.Text) }

// Fields implements wire.Message.
func (s *Started) Fields(c *wire.Coder) { c.String(&s.ID) }

// Fields implements wire.Message.
func (d *Done) Fields(c *wire.Coder) {
	wire.Int(c, &d.Code)
	c.String(&d.Text)
}

// Fields implements wire.Message.
func (r *Run) Fields(c *wire.Coder) {
	r.Spec.Fields(c)
	r.Stdio.Fields(c)
	c.Bool(&r.Detach)
	r.Fetch.Fields(c)
}

// Fields implements wire.Message.
func (r *Create) Fields(c *wire.Coder) {
	r.Spec.Fields(c)
	r.Fetch.Fields(c)
}

// Fields implements wire.Message.
func (e *Exec) Fields(c *wire.Coder) {
	c.String(&e.Name)
	e.Spec.Fields(c)
	e.Stdio.Fields(c)
}

// Fields implements wire.Message.
func (s *Stdio) Fields(c *wire.Coder) {
	c.Bool(&s.In)
	c.Bool(&s.Out)
	c.Bool(&s.Err)
	c.Bool(&s.Direct)
	s.Size.Fields(c)
}

// Fields implements wire.Message.
func (s *Size) Fields(c *wire.Coder) {
	wire.Int(c, &s.Rows)
	wire.Int(c, &s.Cols)
}

// Fields implements wire.Message.
func (s *Spec) Fields(c *wire.Coder) {
	c.String(&s.Name)
	c.String(&s.Hostname)
	c.String(&s.Domain)
	c.String(&s.Image)
	c.String(&s.Pull)
	c.Map(&s.Labels)
	s.Process.Fields(c)
	s.Isolation.Fields(c)
	s.Net.Fields(c)
	wire.List(c, &s.Mounts)
	c.Strings(&s.VolumesFrom)
	s.Limits.Fields(c)
	s.Lifecycle.Fields(c)
	s.Health.Fields(c)
	s.Caller.Fields(c)
	c.Bool(&s.EntrypointSet)
}

// Fields implements wire.Message.
func (p *Process) Fields(c *wire.Coder) {
	c.Strings(&p.Entrypoint)
	c.Strings(&p.Cmd)
	c.Strings(&p.Env)
	c.String(&p.WorkDir)
	c.String(&p.User)
	c.Bool(&p.TTY)
	c.Bool(&p.Stdin)
	c.Bool(&p.Init)
	wire.List(c, &p.Rlimits)
	c.Strings(&p.Groups)
}

// Fields implements wire.Message.
func (r *Rlimit) Fields(c *wire.Coder) {
	c.String(&r.Name)
	wire.Int(c, &r.Soft)
	wire.Int(c, &r.Hard)
}

// Fields implements wire.Message.
func (i *Isolation) Fields(c *wire.Coder) {
	c.String(&i.Network)
	c.String(&i.PID)
	c.String(&i.IPC)
	c.String(&i.UTS)
	c.String(&i.Userns)
	c.Strings(&i.CapAdd)
	c.Strings(&i.CapDrop)
	c.Bool(&i.NoNewPrivileges)
	c.String(&i.Seccomp)
	c.Bool(&i.Privileged)
	c.Bool(&i.ReadOnly)
	c.Map(&i.Sysctls)
}

// Fields implements wire.Message.
func (n *Net) Fields(c *wire.Coder) {
	wire.List(c, &n.Endpoints)
	c.Bool(&n.Nowhere)
	wire.List(c, &n.Ports)
	c.Bool(&n.PublishAll)
	c.Bool(&n.HostLoopback)
	wire.Int(c, &n.MTU)
	c.Strings(&n.Expose)
	c.Strings(&n.DNS)
	c.Strings(&n.DNSSearch)
	c.Strings(&n.DNSOptions)
	c.Strings(&n.AddHosts)
}

// Fields implements wire.Message.
func (a *Attachment) Fields(c *wire.Coder) {
	c.String(&a.Network)
	c.Strings(&a.Aliases)
	c.String(&a.IP)
	c.String(&a.IP6)
	c.String(&a.MAC)
	c.String(&a.Ifname)
}

// Fields implements wire.Message.
func (p *Port) Fields(c *wire.Coder) {
	c.String(&p.Host)
	wire.Int(c, &p.HostPort)
	wire.Int(c, &p.HostLast)
	wire.Int(c, &p.Port)
	c.String(&p.Proto)
}

// Fields implements wire.Message.
func (m *Mount) Fields(c *wire.Coder) {
	c.String(&m.Type)
	c.String(&m.Source)
	c.String(&m.Target)
	c.Bool(&m.ReadOnly)
	wire.Int(c, &m.Dev)
	wire.Int(c, &m.Ino)
	c.String(&m.Options)
	c.String(&m.Subpath)
	c.String(&m.ImageID)
	c.String(&m.Layer)
	m.Volume.Fields(c)
}

// Fields implements wire.Message.
func (v *VolumeWish) Fields(c *wire.Coder) {
	c.Bool(&v.Anonymous)
	c.Bool(&v.NoCopy)
	c.Map(&v.Labels)
	c.Map(&v.Options)
}

// Fields implements wire.Message.
func (l *Lifecycle) Fields(c *wire.Coder) {
	c.Bool(&l.AutoRemove)
	l.Restart.Fields(c)
	c.String(&l.StopSignal)
	wire.Optional(c, &l.StopTimeout, func(seconds *int) { wire.Int(c, seconds) })
	c.Map(&l.LogOpts)
}

// Fields implements wire.Message.
func (p *Caller) Fields(c *wire.Coder) {
	wire.Int(c, &p.UID)
	wire.Int(c, &p.GID)
	c.String(&p.Name)
	c.String(&p.Home)
	c.String(&p.Lang)
	c.String(&p.Term)
}

// Fields implements wire.Message.
func (e *ExecSpec) Fields(c *wire.Coder) {
	c.Strings(&e.Args)
	c.Strings(&e.Env)
	c.String(&e.WorkDir)
	c.String(&e.User)
	c.Bool(&e.TTY)
	c.Bool(&e.Stdin)
	c.Bool(&e.Detach)
	c.Bool(&e.Privileged)
}

// Fields implements wire.Message.
func (f *Fetch) Fields(c *wire.Coder) {
	c.String(&f.Platform)
	c.Bool(&f.Quiet)
	f.Reach.Fields(c)
}

// Fields implements wire.Message.
func (r *Reach) Fields(c *wire.Coder) {
	c.String(&r.HTTPProxy)
	c.String(&r.HTTPSProxy)
	c.String(&r.NoProxy)
	c.String(&r.AuthFile)
	c.String(&r.DockerConfig)
	c.String(&r.CertDir)
	wire.Optional(c, &r.TLSVerify, c.Bool)
	c.String(&r.User)
	c.String(&r.Password)
	c.Strings(&r.Shared)
	c.String(&r.Registries)
	c.String(&r.Policy)
	c.String(&r.Path)
}
