package sandbox

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/fuse-overlay"
	"sbx/internal/dirs"
	"sbx/internal/sys"
	"sbx/internal/undo"
)

// hasImages says whether images are mounted in a sandbox, besides its own.
func hasImages(c *api.Config) bool {
	return slices.ContainsFunc(c.Mounts, func(m api.Mount) bool { return m.Type == api.MountImage })
}

// completeImageMounts finds the images that are to be mounted. Whatever their names come to
// mean later, the sandbox keeps these.
func (s *Supervisor) completeImageMounts(c *api.Config) error {
	if !hasImages(c) {
		return nil
	}
	store, err := s.images()
	if err != nil {
		return err
	}
	for i := range c.Mounts {
		m := &c.Mounts[i]
		if m.Type != api.MountImage || m.ImageID != "" {
			continue
		}
		img, err := store.Resolve(m.Source)
		if err != nil {
			return api.Wrap("mount image", m.Source, noImage(err)).WithCode(api.ExitFault)
		}
		m.ImageID = img.ID
	}
	return nil
}

// imageIDs are the images that a sandbox needs: its own, and those that are mounted in it.
func imageIDs(c *api.Config) []string {
	var ids []string
	if c.ImageID != "" {
		ids = append(ids, c.ImageID)
	}
	for _, m := range c.Mounts {
		if m.Type == api.MountImage && !slices.Contains(ids, m.ImageID) {
			ids = append(ids, m.ImageID)
		}
	}
	return ids
}

// imagePoint is where an image is mounted while its sandbox starts.
func (s *Supervisor) imagePoint(c *api.Config, i int) string {
	return filepath.Join(s.shownDir(), "image-"+c.ID+"-"+strconv.Itoa(i))
}

// mountImages mounts the images of a sandbox where its monitor will find them, until
// release is called.
func (s *Supervisor) mountImages(c *api.Config) (release func(), err error) {
	store, err := s.images()
	if err != nil {
		return nil, err
	}
	var mounts undo.Stack
	defer mounts.Unwind(&err)
	for i, m := range c.Mounts {
		if m.Type != api.MountImage {
			continue
		}
		img, err := store.Resolve(m.ImageID)
		if err != nil {
			return nil, api.Wrap("mount image", m.Source, noImage(err)).WithCode(api.ExitFault)
		}
		at := s.imagePoint(c, i)
		mounts.Add("unmount "+at, func() error { return unmountShown(at) })
		if err := s.mountImage(c, img.Layers, at); err != nil {
			return nil, api.Wrap("mount image", m.Source, err)
		}
	}
	return func() {
		if err := mounts.Close(); err != nil {
			s.Log.Warn("unmount images", "id", shortID(c.ID), "error", err)
		}
	}, nil
}

// mountImage mounts layers at a path, which it makes, read-only and with the owners that
// the sandbox's kernel has to see.
func (s *Supervisor) mountImage(c *api.Config, layers []string, at string) error {
	if err := os.MkdirAll(at, 0o700); err != nil {
		return dirs.DiskError("mkdir", at, err)
	}
	empty := "../../../" + filepath.Base(s.points) + "/empty"
	lower := append(slices.Clone(layers), empty) // an overlay has two at least
	if len(layers) == 0 {
		lower = []string{empty, empty}
	}
	if uids, gids := s.otherOwners(c); uids != nil || gids != nil {
		dir, err := s.openOverlay(c, lower)
		if err != nil {
			return err
		}
		defer dir.Close()
		return s.show(dir, uids, gids, at)
	}
	if c.Driver == fuseoverlay.Program {
		mount, err := s.mountFUSE(&fuseoverlay.Layers{Lower: lower})
		if err != nil {
			return err
		}
		defer mount.Close()
		if err := sys.SetAttr(int(mount.Fd()), sys.RDONLY|sys.NODEV|sys.NOSUID, false); err != nil {
			return err
		}
		return sys.AttachAt(int(mount.Fd()), unix.AT_FDCWD, at)
	}
	done := make(chan error)
	go func() {
		// Never unlocked: the thread, with its directory, ends here.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = mountAt(s.links(), at, "userxattr,lowerdir="+strings.Join(lower, ":"), unix.MS_RDONLY|unix.MS_NODEV|unix.MS_NOSUID)
		}
		done <- err
	}()
	return <-done
}

// startWithImages calls start with a sandbox's images mounted. They stay until its program
// has begun: its first process has copied the mounts when it was made, but without the
// directories that they are on they would be gone.
func (s *Supervisor) startWithImages(b *box, start func() (*link, error)) (*link, error) {
	if !hasImages(&b.config) {
		return start()
	}
	release, err := s.mountImages(&b.config)
	if err != nil {
		return nil, err
	}
	l, err := start()
	if err != nil {
		release()
		return nil, err
	}
	begun := b.begun
	go func() {
		<-begun
		release()
	}()
	return l, nil
}
