package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/fuse-overlay"
	"sbx/image"
	"sbx/internal/dirs"
	"sbx/internal/sys"
	"sbx/view"
)

// overlay is who mounts the roots of new sandboxes: the kernel, or fuse-overlayfs
// where the kernel cannot. It is found out by trying, when it is first needed.
type overlay struct {
	mu    sync.Mutex
	known bool
	path  string // of fuse-overlayfs; empty: the kernel mounts
	why   string // not the kernel
}

// program is the path of fuse-overlayfs if it mounts the roots; empty: the kernel does.
func (o *overlay) program(s *Supervisor) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known {
		return o.path, nil
	}
	path, why, err := chooseOverlay(s.Overlay, s.Dirs)
	if err != nil {
		return "", err // and next time tried again: the cause may be gone
	}
	o.known, o.path, o.why = true, path, why
	return path, nil
}

// driver is the Config.Driver of a new sandbox.
func (o *overlay) driver(s *Supervisor) (string, error) {
	path, err := o.program(s)
	if err != nil || path == "" {
		return "", err
	}
	return fuseoverlay.Program, nil
}

// status is what sbx info tells.
func (o *overlay) status(s *Supervisor) ([][2]string, error) {
	path, err := o.program(s)
	switch {
	case err != nil:
		return nil, err
	case path == "":
		return [][2]string{{"Overlay", "kernel"}}, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return [][2]string{{"Overlay", path}, {"Not The Kernel", o.why}}, nil
}

// chooseOverlay gives the path of fuse-overlayfs, and why it is needed; empty: the
// kernel's overlay works there. The word is Options.Overlay.
func chooseOverlay(word string, d dirs.Dirs) (path, why string, err error) {
	switch word {
	case "", "kernel":
	case "fuse":
		path, err = fuseoverlay.Find()
		return path, "SBX_OVERLAY=fuse", err
	default:
		return "", "", api.Errorf("read SBX_OVERLAY", view.Safe(word), "it is kernel, fuse or empty")
	}
	dir := d.Data
	wrong, err := fuseoverlay.Try(dir)
	if err == nil && wrong == nil && word == "" {
		var needs bool
		if needs, err = image.NeedsProgram(d.Storage()); needs {
			wrong = api.Errorf("mount the layers of images", dir, "they were unpacked where only fuse-overlayfs could be used")
		}
	}
	switch {
	case err != nil:
		return "", "", api.Wrap("try overlay", dir, err)
	case wrong == nil:
		return "", "", nil
	case word == "kernel":
		return "", "", wrong
	}
	if path, err = fuseoverlay.Find(); err == nil {
		return path, plain(wrong), nil
	}
	e := *api.Wrap("mount overlay", dir, wrong)
	e.Msg = plain(wrong) + "; and in its place fuse-overlayfs: " + plain(err)
	missing, lacking := (*api.Error)(nil), (*api.Error)(nil)
	switch {
	case !errors.As(err, &missing) || missing.Hint == "":
	case errors.Is(wrong, unix.ENODEV) && errors.As(wrong, &lacking): // on no disk there is one
		e.Hint = missing.Hint + ", or " + lacking.Hint
	default:
		e.Hint = missing.Hint + ", or set SBX_DATA to a directory on a local disk, in a container to one on a volume (-v NAME:DIR)"
	}
	return "", "", &e
}

// plain is an error without its hint.
func plain(err error) string {
	if e := (*api.Error)(nil); errors.As(err, &e) {
		bare := *e
		bare.Hint = ""
		return bare.Error()
	}
	return err.Error()
}

// marksOf is how the upper directory of a sandbox is marked.
func marksOf(c *api.Config) fuseoverlay.Marks {
	if c.Driver == fuseoverlay.Program {
		return fuseoverlay.FUSE
	}
	return fuseoverlay.Kernel
}

// links is the directory that layers are named in, see api.Config.Layers.
func (s *Supervisor) links() string { return filepath.Join(s.Dirs.Storage(), "overlay", "l") }

// mountFUSE mounts with fuse-overlayfs, whoever mounts the roots of new sandboxes. The
// file is the mount, attached nowhere yet.
func (s *Supervisor) mountFUSE(l *fuseoverlay.Layers) (*os.File, error) {
	path, err := fuseoverlay.Find()
	if err != nil {
		return nil, err
	}
	l.Dir = s.links()
	mount, server, err := fuseoverlay.Mount(path, l)
	if err != nil {
		return nil, err
	}
	go func() {
		if err := server.Wait(); err != nil {
			s.Log.Error("fuse-overlayfs has died: who has the mount cannot read it any more", "pid", server.PID, "error", err)
		}
	}()
	return os.NewFile(uintptr(mount), fuseoverlay.Program), nil
}

// mountRoot mounts the root of a sandbox that is about to start, or with other owners
// what is below its upper directory; nil: it does all of it itself.
//
// The sandbox has the only reference to the mount: who serves it ends with it, and nobody
// has to see to that.
func (s *Supervisor) mountRoot(c *api.Config) (*os.File, error) {
	if c.Driver != fuseoverlay.Program {
		return s.shownMount(c)
	}
	return s.mountLayers(c, c.Lifecycle.AutoRemove)
}

// mountLayers mounts the layers and the upper directory of a sandbox, for writing.
func (s *Supervisor) mountLayers(c *api.Config, volatile bool) (*os.File, error) {
	_, release, err := s.showImage(c)
	if err != nil {
		return nil, err
	}
	// fuse-overlayfs has opened what it shows by then.
	defer release()
	root := &s.rootAndMounts(c).Root
	return s.mountFUSE(&fuseoverlay.Layers{Lower: root.Lower, Upper: root.Upper, Work: root.Work, Volatile: volatile})
}

// mountStopped is mountRoot for a copy to or from a sandbox that does not run. lower
// is what it has below its upper directory.
func (s *Supervisor) mountStopped(c *api.Config, lower []string, write bool) (root *os.File, err error) {
	if write {
		root, err = s.mountLayers(c, true)
	} else {
		root, err = s.mountFUSE(&fuseoverlay.Layers{Lower: append([]string{"../../../sandboxes/" + c.ID + "/upper"}, lower...)})
	}
	if err == nil && (!write || c.Isolation.ReadOnly) {
		if err = sys.SetAttr(int(root.Fd()), sys.RDONLY, false); err != nil {
			root.Close()
		}
	}
	return root, err
}

// openFUSE is openOverlay by fuse-overlayfs.
func (s *Supervisor) openFUSE(lower []string) (*os.File, error) {
	mount, err := s.mountFUSE(&fuseoverlay.Layers{Lower: slices.Clone(lower)})
	if err != nil {
		return nil, err
	}
	defer mount.Close()
	if err := sys.SetAttr(int(mount.Fd()), sys.RDONLY|sys.NODEV|sys.NOSUID|sys.NOEXEC, false); err != nil {
		return nil, err
	}
	fd, err := unix.Openat(int(mount.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: strings.Join(lower, ":"), Err: err}
	}
	return os.NewFile(uintptr(fd), "/"), nil
}
