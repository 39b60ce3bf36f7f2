package sandbox

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/fuse-overlay"
	"sbx/internal/dirs"
	"sbx/internal/sys"
)

// StepRoot is the file system of a step of a build. All names are relative to
// storage/overlay/l in the data directory.
type StepRoot struct {
	Lower []string // top first
	Upper string   // where changes go
	Work  string
}

// Step is a program that a build runs.
type Step struct {
	Root       StepRoot
	Args, Env  []string
	WorkDir    string // made, if it is not there
	User       string
	Hostname   string
	Network    string   // as in api.Isolation
	AddHosts   []string // as in api.Net
	Privileged bool
	Limits     api.Limits
	Rlimits    []api.Rlimit
	Mounts     []api.Mount // binds and tmpfs
	// Fresh says that binds are of mounts that are not older than this step: no
	// sandbox that was prepared before can see them.
	Fresh bool
}

// RunStep runs a program to its end and gives its exit status. What it writes to
// standard output and standard error goes to out, as it comes; standard input is
// empty. When ctx ends, the program is killed with all that it has started, and so is
// it if the supervisor dies.
func (s *Supervisor) RunStep(ctx context.Context, step *Step, out io.Writer) (code int, err error) {
	defer s.refillSoon()
	b, err := s.registerStep(step)
	if err != nil {
		return 0, err
	}
	ours, theirs, err := api.Pair("step")
	if err != nil {
		s.discard(b)
		return 0, limitError("socketpair", err)
	}
	defer ours.Close()
	r, w, err := os.Pipe()
	if err != nil {
		theirs.Close()
		s.discard(b)
		return 0, limitError("pipe", err)
	}
	defer r.Close()
	err = s.launchStep(b, step, theirs, w)
	theirs.Close()
	w.Close()
	if err != nil {
		s.discard(b)
		return 0, err
	}
	// The monitor kills a program whose command line goes away before it is armed.
	stop := context.AfterFunc(ctx, func() { ours.Close() })
	defer stop()
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(out, r)
		copied <- err
	}()
	code, err = s.awaitStep(ctx, ours)
	// No process is left that could hold the pipe open, but for one that has it from
	// somebody else.
	if ctx.Err() == nil && err == nil {
		err = <-copied
	}
	if ctx.Err() != nil {
		<-b.ended
		return 0, context.Cause(ctx)
	}
	return code, err
}

// awaitStep reads what the monitor tells the one who has started a program.
func (s *Supervisor) awaitStep(ctx context.Context, conn *api.Conn) (int, error) {
	for {
		p, err := conn.Recv()
		switch {
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case err != nil:
			return 0, api.Errorf("run", "", "the monitor of the step was killed").WithHint("see %s", s.Dirs.Log())
		}
		p.CloseFiles()
		switch p.Kind {
		case api.KindFault:
			return 0, p.Error
		case api.KindExited:
			var done api.Done
			if err := p.Decode(&done); err != nil {
				return 0, err
			}
			return done.Code, nil
		}
	}
}

// registerStep makes a step known as a sandbox that nobody sees.
func (s *Supervisor) registerStep(step *Step) (*box, error) {
	c := api.Config{ID: newID(), Layers: step.Root.Lower, Step: &api.BuildStep{Upper: step.Root.Upper, Work: step.Root.Work}}
	c.Name, c.Hostname = "build-"+shortID(c.ID), step.Hostname
	c.Lifecycle.AutoRemove = true
	c.Process = api.Process{Cmd: step.Args, Env: step.Env, WorkDir: step.WorkDir, User: step.User, Rlimits: step.Rlimits}
	c.Isolation.Network, c.Isolation.Privileged = step.Network, step.Privileged
	c.Net.AddHosts, c.Limits, c.Mounts = step.AddHosts, step.Limits, step.Mounts
	var err error
	if c.Driver, err = s.overlay.driver(s); err != nil {
		return nil, err
	}
	if err := checkIsolation(&c.Isolation); err != nil {
		return nil, err
	}
	return newBox(c, filepath.Join(s.Dirs.Sandboxes(), c.ID)), nil
}

// launchStep gives a step its monitor, one that waits for a sandbox if there is one.
func (s *Supervisor) launchStep(b *box, step *Step, conn *api.Conn, out *os.File) error {
	prepare, slot, join, err := s.prepareFor(&b.config)
	if err != nil {
		return err
	}
	var l *link
	if slot && !step.Fresh {
		if l = s.slots.take(kind{}); l != nil {
			b.config.ID, b.dir = l.id, filepath.Join(s.Dirs.Sandboxes(), l.id)
		}
	}
	if l == nil {
		if _, err := s.makeDirs(b.config.ID); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.boxes[b.config.ID] = b
	s.mu.Unlock()
	// Nobody will start it once more. Its environment may have secrets in it, which must
	// not come to the disk.
	saved := b.config
	saved.Process = api.Process{}
	if err := writeJSON(filepath.Join(b.dir, "config.json"), &saved, false); err != nil {
		if l != nil {
			l.conn.CloseWrite()
		}
		return dirs.DiskError("write", filepath.Join(b.dir, "config.json"), err)
	}
	return s.launch(b, l, prepare, join, conn, api.Stdio{Out: true, Err: true, Direct: true}, []*os.File{out, out}, false)
}

// stepConfig is a configuration with the layers of a step, for what mounts them.
func (s *Supervisor) stepConfig(root *StepRoot) (api.Config, error) {
	c := api.Config{Layers: root.Lower, Step: &api.BuildStep{Upper: root.Upper, Work: root.Work}}
	var err error
	c.Driver, err = s.overlay.driver(s)
	return c, err
}

// OpenLayers opens layers, top first and relative to storage/overlay/l, as one
// directory that nobody can write to.
func (s *Supervisor) OpenLayers(lower []string) (*os.File, error) {
	c, err := s.stepConfig(&StepRoot{Lower: lower})
	if err != nil {
		return nil, err
	}
	switch len(lower) {
	case 0:
		return os.Open(filepath.Join(s.points, "empty"))
	case 1: // an overlay has two at least
		lower = append(slices.Clone(lower), "../../../points/empty")
	}
	return s.openOverlay(&c, lower)
}

// OpenStep opens the file system of a step for writing. With it nothing of the image
// can be named but within the root; device files in it mean nothing.
func (s *Supervisor) OpenStep(root *StepRoot) (*os.File, error) {
	c, err := s.stepConfig(root)
	if err != nil {
		return nil, err
	}
	lower := root.Lower
	if len(lower) == 0 {
		lower = []string{"../../../points/empty"}
	}
	if c.Driver == fuseoverlay.Program {
		mount, err := s.mountFUSE(&fuseoverlay.Layers{Lower: lower, Upper: root.Upper, Work: root.Work, Volatile: true})
		if err != nil {
			return nil, err
		}
		defer mount.Close()
		if err := sys.SetAttr(int(mount.Fd()), sys.NODEV|sys.NOSUID|sys.NOEXEC, false); err != nil {
			return nil, err
		}
		return openHere(int(mount.Fd()))
	}
	data := "userxattr,volatile,lowerdir=" + strings.Join(lower, ":") + ",upperdir=" + root.Upper + ",workdir=" + root.Work
	inner, err := inNamespace(func() error {
		err := enterStopped(s.points, func() error { return mountAt(s.links(), s.points, data, unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC) }, nil)
		if errors.Is(err, unix.EINVAL) && len(data) >= os.Getpagesize() {
			return api.Errorf("mount overlay", "", "%d layers are more than one overlay can have", len(lower)).
				WithHint("make fewer steps, or use --squash for the image that this one begins with")
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	defer inner.Close()
	return openHere(int(inner.f.Fd()))
}

// openHere opens a directory of which there is a descriptor for reading.
func openHere(fd int) (*os.File, error) {
	here, err := unix.Openat(fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: "/", Err: err}
	}
	return os.NewFile(uintptr(here), "/"), nil
}

// Marks is how the upper directories of steps are marked.
func (s *Supervisor) Marks() (fuseoverlay.Marks, error) {
	c, err := s.stepConfig(&StepRoot{})
	return marksOf(&c), err
}

// MountLayers mounts the file system of a step at a directory, for all that is started
// from now on. Without an upper directory nobody can write to it.
func (s *Supervisor) MountLayers(root *StepRoot, at string) error {
	c, err := s.stepConfig(root)
	if err != nil {
		return err
	}
	lower := slices.Clone(root.Lower)
	// An overlay needs one lower directory, and two if there is no upper one.
	for _, nothing := range []string{"../../../points/empty", "../../../points/stage"} {
		if len(lower) == 0 || len(lower) == 1 && root.Upper == "" {
			lower = append(lower, nothing)
		}
	}
	if c.Driver == fuseoverlay.Program {
		mount, err := s.mountFUSE(&fuseoverlay.Layers{Lower: lower, Upper: root.Upper, Work: root.Work, Volatile: true})
		if err != nil {
			return err
		}
		defer mount.Close()
		return sys.AttachAt(int(mount.Fd()), unix.AT_FDCWD, at)
	}
	data, flags := "userxattr,index=off,lowerdir="+strings.Join(lower, ":"), uintptr(unix.MS_NODEV)
	if root.Upper != "" {
		data += ",volatile,upperdir=" + root.Upper + ",workdir=" + root.Work
	} else {
		flags |= unix.MS_RDONLY
	}
	done := make(chan error)
	go func() {
		// Never unlocked: the thread, with its working directory, ends here.
		runtime.LockOSThread()
		err := os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_FS))
		if err == nil {
			err = mountAt(s.links(), at, data, flags)
		}
		done <- err
	}()
	return <-done
}
