package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/fuse-overlay"
	"sbx/internal/dirs"
	"sbx/internal/undo"
	"sbx/internal/wire"
	"sbx/sandbox/monitor"
	"sbx/sandbox/pid1"
	"sbx/userns"
)

// run creates and starts a sandbox: the path that is measured. Nothing on it
// takes a lock of the image store, starts a helper or waits for a disk.
func (s *Supervisor) run(r *api.Run, asked *conversation) (err error) {
	defer s.refillSoon()
	c, err := s.complete(r.Spec, newID())
	if err != nil {
		return err
	}
	prepare, slot, join, err := s.prepareFor(&c)
	if err != nil {
		return err
	}
	var l *link
	if slot {
		if l = s.slots.take(s.kindOf(&c)); l != nil {
			rename(&c, l.id)
		}
	}
	b, err := s.register(c, l != nil, asked)
	if err != nil {
		if l != nil {
			l.conn.CloseWrite() // the slot ends, and is cleared
		}
		return err
	}
	if err := s.launch(b, l, prepare, join, asked.conn, r.Stdio, asked.packet.Files, r.Detach); err != nil {
		s.discard(b)
		return err
	}
	return nil
}

// rename gives a sandbox the id of the slot that it gets.
func rename(c *api.Config, id string) {
	old := shortID(c.ID)
	c.ID = id
	if c.Hostname != old {
		return
	}
	c.Hostname = shortID(id)
	for i, kv := range c.Process.Env {
		if kv == "HOSTNAME="+old {
			c.Process.Env[i] = "HOSTNAME=" + c.Hostname
		}
	}
}

// create makes a sandbox and does not start it.
func (s *Supervisor) create(spec api.Spec, asked *conversation) (string, error) {
	c, err := s.complete(spec, newID())
	if err != nil {
		return "", err
	}
	if _, _, _, err := s.prepareFor(&c); err != nil {
		return "", err
	}
	b, err := s.register(c, false, asked)
	if err != nil {
		return "", err
	}
	return b.config.ID, syncDir(b.dir)
}

// register makes a sandbox known, in the tables and on disk. The directories of
// a slot are there already. Who has asked for it, if somebody has, may end what takes
// long.
func (s *Supervisor) register(c api.Config, slot bool, asked *conversation) (_ *box, err error) {
	var undo undo.Stack
	defer undo.Unwind(&err)
	// Not a named result: that one is nil by the time the undo steps run.
	b := newBox(c, filepath.Join(s.Dirs.Sandboxes(), c.ID))
	s.mu.Lock()
	if err = checkName(s, &c); err == nil {
		b.config = c
		s.boxes[c.ID], s.names[c.Name] = b, b
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	undo.Add("unlist", func() error {
		s.mu.Lock()
		s.unlist(b)
		s.mu.Unlock()
		return nil
	})
	if err := s.imageStays(&c); err != nil {
		return nil, err
	}
	if !slot {
		if _, err := s.makeDirs(c.ID); err != nil {
			return nil, err
		}
		undo.Add("remove "+b.dir, func() error { return os.RemoveAll(b.dir) })
		if err := s.giveRoot(c.ID, s.kindOf(&c)); err != nil {
			return nil, err
		}
	}
	if err := writeJSON(filepath.Join(b.dir, "config.json"), &b.config, !c.Lifecycle.AutoRemove); err != nil {
		return nil, dirs.DiskError("write", filepath.Join(b.dir, "config.json"), err)
	}
	undo.Add("drop volumes", func() error {
		s.forsake(b)
		return nil
	})
	if err := s.readyVolumes(&c, asked); err != nil {
		return nil, err
	}
	undo.Release()
	s.noteBox(b, "create")
	return b, nil
}

// discard takes back a sandbox that has not been handed to a monitor.
func (s *Supervisor) discard(b *box) {
	s.mu.Lock()
	s.unlist(b)
	linked := b.link != nil
	b.withVolumes = true
	s.mu.Unlock()
	if !linked {
		s.dropVolumes(b)
		s.clear(b.config.ID)
		s.noteGone(b)
	}
}

// prepareFor says what the sandbox's namespaces are to be, and whether they are the
// usual ones, so that a slot of its kind will do.
func (s *Supervisor) prepareFor(c *api.Config) (p *monitor.Prepare, slot bool, files []*os.File, err error) {
	i := &c.Isolation
	if _, err := s.planLimits(c, c.Limits); err != nil {
		return nil, false, nil, err
	}
	if c.Limits.CgroupParent != "" && !s.home.Exists() {
		return nil, false, nil, s.home.NoGroup("use --cgroup-parent " + c.Limits.CgroupParent)
	}
	caps, err := capabilities(i)
	if err != nil {
		return nil, false, nil, err
	}
	mayMount := caps&(1<<capSysAdmin) != 0
	p = s.prepareOf(s.kindOf(c), c.ID)
	special := i.Privileged || mayMount || hasImages(c) || c.Image == api.HostImage || c.Limits.CgroupParent != ""
	for _, n := range []struct {
		value string
		flag  uint64
	}{{i.Network, unix.CLONE_NEWNET}, {i.PID, unix.CLONE_NEWPID}, {i.IPC, unix.CLONE_NEWIPC}, {i.UTS, unix.CLONE_NEWUTS}, {c.Limits.Cgroupns, unix.CLONE_NEWCGROUP}} {
		if n.value == "host" {
			p.Namespaces.New &^= n.flag
			special = true
		}
	}
	p.Namespaces.Bare, p.Namespaces.Devices = i.Privileged, i.Privileged
	if c.Image == api.HostImage {
		p.KeepID = true
		p.UIDMap = userns.SysProcIDMap(userns.KeepID(s.uids, c.Caller.UID))
		p.GIDMap = userns.SysProcIDMap(userns.KeepID(s.gids, c.Caller.GID))
	}
	if name, ok := strings.CutPrefix(i.PID, "container:"); ok {
		special = true
		join, err := s.joinPID(p, name, i.Userns)
		if err != nil {
			return nil, false, nil, err
		}
		files = append(files, join)
	}
	if name, ok := strings.CutPrefix(i.Network, "container:"); ok {
		special = true
		netns, err := s.joinNet(p, name)
		if err != nil {
			return nil, false, nil, err
		}
		files = append(files, netns)
	}
	if mayMount {
		p.Stage = s.rootAndMounts(c)
		if err := stageable(p.Stage); err != nil {
			return nil, false, nil, err
		}
	}
	return p, !special, files, nil
}

// joinNet makes a sandbox share the network namespace of another one.
func (s *Supervisor) joinNet(p *monitor.Prepare, name string) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	other, err := s.find(name)
	if err != nil {
		return nil, api.Wrap("join the network of", name, err).WithCode(api.ExitFault)
	}
	if !other.running() {
		return nil, api.Errorf("join the network of", other.config.Name, "it is not running")
	}
	if other.link.netns == nil {
		return nil, api.Errorf("join the network of", other.config.Name, "it has none of its own").
			WithHint("use --network %s", other.config.Isolation.Network)
	}
	p.JoinNet = true
	p.Namespaces.New &^= unix.CLONE_NEWNET
	p.Namespaces.Joined |= unix.CLONE_NEWNET
	return other.link.netns, nil
}

// joinPID makes a sandbox share the processes of another one, and with them its
// user namespace: the kernel lets only its owner mount its /proc.
func (s *Supervisor) joinPID(p *monitor.Prepare, name, users string) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	other, err := s.find(name)
	if err != nil {
		// It is this run that fails, not a request about the other sandbox.
		return nil, api.Wrap("join the processes of", name, err).WithCode(api.ExitFault)
	}
	if !other.running() || other.link.program == nil {
		return nil, api.Errorf("join the processes of", other.config.Name, "it is not running")
	}
	if other.config.Isolation.PID != "" && other.config.Isolation.PID != "private" {
		return nil, api.Errorf("join the processes of", other.config.Name, "it has none of its own")
	}
	if other.config.Isolation.Userns != users {
		return nil, api.Errorf("join the processes of", other.config.Name, "it maps users in another way").
			WithHint("give both sandboxes the same --userns")
	}
	// The set-up of the new one runs among the processes of the other, in its user
	// namespace. A program that may trace there could look into it, and from there
	// at the host.
	caps, err := capabilities(&other.config.Isolation)
	if err != nil {
		return nil, err
	}
	if other.traces || caps&(1<<capSysPtrace) != 0 {
		return nil, api.Errorf("join the processes of", other.config.Name, "its programs may trace others (CAP_SYS_PTRACE)").
			WithHint("start that one without --privileged and --cap-add SYS_PTRACE, and use exec without --privileged")
	}
	p.Join = true
	p.Namespaces.New &^= unix.CLONE_NEWPID
	p.Namespaces.Joined |= unix.CLONE_NEWPID
	return other.link.program, nil
}

// launch hands a sandbox to its monitor: from then on that one talks to the
// command line.
func (s *Supervisor) launch(b *box, l *link, prepare *monitor.Prepare, join []*os.File, conn *api.Conn, stdio api.Stdio, files []*os.File, detach bool) error {
	start, err := s.startPacket(b, prepare, stdio, detach)
	if err == nil {
		err = s.makeOverlays(b)
	}
	if err != nil {
		if l != nil {
			l.conn.CloseWrite()
		}
		return err
	}
	if l == nil {
		l, err = s.startWithImages(b, func() (*link, error) {
			return s.startMonitor(prepare, b.config.Limits.CgroupParent, join...)
		})
		if err != nil {
			return err
		}
		l.kind = s.kindOf(&b.config)
	}
	// Whoever finds the link waits until the sandbox is on its networks.
	b.wiring.Lock()
	s.mu.Lock()
	l.box, b.link = b, l
	s.mu.Unlock()
	err = s.limit(&b.config, l)
	if err == nil {
		err = s.connect(b, l)
	}
	if err == nil {
		err = s.writeOwnFiles(b)
	}
	if err == nil {
		err = s.adviseLacks(&b.config, l, conn)
	}
	b.wiring.Unlock()
	var root *os.File
	if err == nil {
		root, err = s.mountRoot(&b.config)
	}
	if err != nil {
		l.conn.CloseWrite()
		return err
	}
	if root != nil {
		defer root.Close()
		start.Root = true
		files = append(slices.Clip(files), root)
	}
	var send []*os.File
	if conn != nil {
		start.Client = true
		if !detach {
			s.noteBox(b, "attach")
		}
		send = append(send, conn.File())
	}
	if err := l.conn.Send(monitor.KindStart, start, append(send, files...)...); err != nil {
		l.conn.CloseWrite()
		return api.Wrap("start the sandbox", b.config.Name, err)
	}
	return nil
}

func (s *Supervisor) startPacket(b *box, prepare *monitor.Prepare, stdio api.Stdio, detach bool) (*monitor.Start, error) {
	c := &b.config
	spec := s.rootAndMounts(c)
	program, err := s.program(c)
	if err != nil {
		return nil, err
	}
	spec.Program = *program
	if c.Driver == "" && s.shownName(c) != "" {
		spec.Root.Shown, spec.Root.Lower = true, []string{"../../../" + filepath.Base(s.points) + "/" + pid1.LowerPoint}
	}
	if prepare.Stage != nil {
		if spec.Root.Host != "" {
			spec.Root.Host = monitor.StagedRoot(s.points)
		}
		for i := range spec.Mounts {
			if spec.Mounts[i].Type == "bind" {
				spec.Mounts[i].Source = monitor.StagedMount(s.points, i)
			}
		}
	}
	return &monitor.Start{
		Spec: wire.Append(nil, spec), Stdio: stdio, TTY: c.Process.TTY, Stdin: c.Process.Stdin, Once: stdio.In,
		Log: c.Lifecycle.LogOpts, Detach: detach, Brief: c.Lifecycle.AutoRemove,
	}, nil
}

// program is what is executed, and as whom.
func (s *Supervisor) program(c *api.Config) (*pid1.Program, error) {
	caps, err := capabilities(&c.Isolation)
	if err != nil {
		return nil, err
	}
	profile := c.Isolation.Seccomp
	if c.Isolation.Privileged {
		profile = "unconfined"
	}
	filter, err := s.filters.compile(profile, caps, s.lone(c))
	if err != nil {
		return nil, err
	}
	user := c.Process.User
	if c.Image == api.HostImage && user == "" {
		user = hostUser(&c.Caller)
	}
	return &pid1.Program{
		Args: c.Process.Args(), Env: c.Process.Env, WorkDir: c.Process.WorkDir, User: user, Groups: c.Process.Groups,
		Rlimits: c.Process.Rlimits, Caps: caps, NoNewPrivs: c.Isolation.NoNewPrivileges, Seccomp: filter,
		TTY: c.Process.TTY, Init: c.Process.Init, OOMScoreAdj: c.Limits.OOMScoreAdj,
	}, nil
}

func (s *Supervisor) rootAndMounts(c *api.Config) *pid1.Spec {
	spec := &pid1.Spec{
		Hostname: c.Hostname, Domain: c.Domain, ShmSize: c.Limits.ShmSize, Mounts: s.hostMounts(c), Sysctls: c.Isolation.Sysctls,
	}
	spec.Root.ReadOnly = c.Isolation.ReadOnly
	spec.Mounts = append(spec.Mounts, s.ownMounts(c)...)
	if c.Image == api.HostImage {
		spec.Root.Host = "/"
		spec.Root.Private = Hidden(s.Dirs, &c.Caller)
		return spec
	}
	spec.Account = account(c)
	own := "../../../sandboxes/" + c.ID
	spec.Root.Dir = filepath.Join(s.Dirs.Storage(), "overlay", "l")
	spec.Root.Lower = append(slices.Clone(c.Layers), "../../../base")
	if lower := s.shownLower(c); lower != "" {
		spec.Root.Lower = []string{lower}
	}
	spec.Root.Upper, spec.Root.Work = own+"/upper", own+"/work"
	if c.Step != nil {
		spec.Root.Upper, spec.Root.Work = c.Step.Upper, c.Step.Work
	}
	spec.Root.Volatile = c.Lifecycle.AutoRemove
	spec.Root.Mounted = c.Driver == fuseoverlay.Program
	return spec
}

// Hidden are the directories of the host that a program of the host image finds
// empty: what is the user's own, and what sbx itself keeps.
func Hidden(own dirs.Dirs, c *api.Caller) []string {
	var shown []string
	for _, d := range []string{"/tmp", "/run", "/var/tmp", c.Home, passwdHome(c.UID), own.Data, own.Run} {
		d = filepath.Clean(d)
		if !filepath.IsAbs(d) || d == "/" || covered(shown, d) {
			continue
		}
		shown = append(shown, d)
	}
	return shown
}

func covered(dirs []string, path string) bool {
	for _, d := range dirs {
		if path == d || strings.HasPrefix(path, d+"/") {
			return true
		}
	}
	return false
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return diskSync(d)
}

func diskSync(d *os.File) error {
	if err := d.Sync(); err != nil {
		return dirs.DiskError("fsync", d.Name(), err)
	}
	return nil
}
