package sandbox

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/fuse-overlay"
	"sbx/image"
)

// export writes the file system of a sandbox, running or not, to the file that
// has come with the request. What is mounted into it is not part of it.
func (c *conversation) export(r *api.Name) error {
	if len(c.packet.Files) != 1 {
		return api.Errorf("export", r.Name, "no output came with the request")
	}
	c.s.mu.Lock()
	b, err := c.s.find(r.Name)
	var config api.Config
	if err == nil {
		config = b.config
	}
	c.s.mu.Unlock()
	if err != nil {
		return err
	}
	if config.ImageID == "" {
		return api.Errorf("export", config.Name, "its root is the host's own file system").
			WithHint("only sandboxes made from an image have one of their own")
	}
	root, err := c.s.openRoot(&config)
	if err != nil {
		return err
	}
	defer root.Close()
	out := bufio.NewWriterSize(c.packet.Files[0], 1<<20)
	told := pace{step: api.Step{ID: shortID(config.ID)}, tell: c.progress, next: time.Now().Add(3 * paceEvery)}
	err = image.Pack(c.gone(), out, root, told.at)
	if err == nil {
		err = out.Flush()
	}
	switch {
	case errors.Is(err, context.Canceled):
		return api.Errorf("export", config.Name, "stopped")
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return api.Wrap("export", config.Name, err).WithHint("free some space, or write it elsewhere")
	case err != nil:
		return api.Wrap("export", config.Name, err)
	}
	told.complete()
	return c.done("")
}

// paceEvery is the least time between two reports.
const paceEvery = 100 * time.Millisecond

// pace reports on one step, from one goroutine, now and then. What is soon done is
// not reported at all.
type pace struct {
	step api.Step
	tell func(api.Progress)
	next time.Time
	said bool
}

func (p *pace) at(done int64) {
	p.step.Done = done
	if now := time.Now(); now.After(p.next) {
		p.next, p.said = now.Add(paceEvery), true
		p.say(api.StepPushing)
	}
}

func (p *pace) complete() {
	if p.said {
		p.say(api.StepComplete)
	}
}

func (p *pace) say(state string) {
	p.step.State = state
	p.tell(api.Progress{Steps: []api.Step{p.step}})
}

// openRoot opens the root directory of a sandbox as it is now, read-only: the
// upper directory and the layers once more under an overlay of its own. The mount
// is in a namespace that ends at once; the directory keeps it alive.
//
// While the sandbox runs, what it changes may show or not, as with any copy of
// files that are in use.
func (s *Supervisor) openRoot(c *api.Config) (*os.File, error) {
	if len(c.Layers) == 0 {
		return s.openUpper(c)
	}
	var f *os.File
	err := s.withImageOwners(c, func(path string) error {
		upper, err := filepath.Rel(filepath.Join(s.Dirs.Storage(), "overlay", "l"), path)
		if err == nil {
			f, err = s.openOverlay(c, append([]string{upper}, c.Layers...))
		}
		return err
	})
	if err != nil {
		return nil, api.Wrap("export", c.Name, err)
	}
	return f, nil
}

// openOverlay opens directories, top first and relative to overlay/l in the store, as
// one, read-only.
func (s *Supervisor) openOverlay(c *api.Config, lower []string) (*os.File, error) {
	if c.Driver == fuseoverlay.Program {
		return s.openFUSE(lower)
	}
	links := s.links()
	type result struct {
		f   *os.File
		err error
	}
	done := make(chan result)
	go func() {
		// Never unlocked: the thread, with its namespace and directory, ends here.
		runtime.LockOSThread()
		f, err := mountOverlay(links, s.points, lower)
		done <- result{f, err}
	}()
	r := <-done
	return r.f, r.err
}

// mountOverlay must run on a thread of its own. lower is relative to dir, top
// first; at is any directory.
func mountOverlay(dir, at string, lower []string) (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return nil, os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, &os.PathError{Op: "make private", Path: "/", Err: err}
	}
	if err := unix.Chdir(dir); err != nil {
		return nil, &os.PathError{Op: "chdir", Path: dir, Err: err}
	}
	// Without an index, an upper directory that is in use may be a lower one here.
	data := "userxattr,index=off,lowerdir=" + strings.Join(lower, ":")
	if err := unix.Mount("overlay", at, "overlay", unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOEXEC, data); err != nil {
		return nil, &os.PathError{Op: "mount overlay", Path: at, Err: err}
	}
	fd, err := unix.Open(at, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: at, Err: err}
	}
	return os.NewFile(uintptr(fd), "/"), nil
}
