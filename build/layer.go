package build

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"

	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/fuse-overlay"
	"sbx/image"
	"sbx/internal/dirs"
	"sbx/internal/sys"
	"sbx/internal/undo"
)

// below leads from storage/overlay/l, which the names of layers are relative to, to the
// data directory.
const below = "../../../"

// layer is what a step has changed. It is one of the store, or a directory that becomes
// one when the build is over.
type layer struct {
	link    string // its name, relative to storage/overlay/l
	created time.Time

	// Of the store. While it is not there yet: empty.
	id     string // of it and all below
	parent string

	dir    *stepDir // where it is made
	sealed *image.Sealed
	staged *image.Staged
	err    error         // why there is neither
	ready  chan struct{} // closed when one of the three is there
}

// stepDir is the directory of a step: upper and work of its overlay, and what goes with
// its mounts.
type stepDir struct {
	path string // on the host
	name string // relative to storage/overlay/l
}

// newStepDir makes one. Its name is short: an overlay of many must fit into a page.
func (j *job) newStepDir() (_ *stepDir, err error) {
	var undo undo.Stack
	defer undo.Unwind(&err)
	d := &stepDir{}
	for {
		var random [3]byte
		rand.Read(random[:])
		name := hex.EncodeToString(random[:])
		d.path, d.name = filepath.Join(j.b.steps(), name), below+"build/s/"+name
		err := os.Mkdir(d.path, 0o700)
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrExist) {
			return nil, dirs.DiskError("mkdir", d.path, err)
		}
	}
	undo.Add("rmdir "+d.path, func() error { return os.Remove(d.path) })
	for _, sub := range []struct {
		name string
		mode os.FileMode
	}{{"u", 0o755}, {"work", 0o700}} {
		path := filepath.Join(d.path, sub.name)
		if err := os.Mkdir(path, sub.mode); err != nil {
			return nil, dirs.DiskError("mkdir", path, err)
		}
		undo.Add("rmdir "+path, func() error { return os.Remove(path) })
	}
	undo.Release()
	j.mu.Lock()
	j.dirs = append(j.dirs, d)
	j.mu.Unlock()
	return d, nil
}

func (d *stepDir) upper() string { return filepath.Join(d.path, "u") }

// touched says whether the step has changed anything.
func (d *stepDir) touched() (bool, error) {
	f, err := os.Open(d.upper())
	if err != nil {
		return false, err
	}
	defer f.Close()
	_, err = f.Readdirnames(1)
	if err == io.EOF {
		return false, nil
	}
	return true, err
}

// links are the names of layers as an overlay wants them: top first.
func links(layers []*layer) []string {
	list := make([]string, 0, len(layers))
	for _, l := range slices.Backward(layers) {
		list = append(list, l.link)
	}
	return list
}

// newLayer makes a layer of what a step has changed on top of others. The digest is
// computed while the build goes on.
func (j *job) newLayer(d *stepDir, lower []*layer) *layer {
	l := &layer{link: d.name + "/u", created: j.now(), dir: d, ready: make(chan struct{})}
	names := links(lower)
	j.sealing.Go(func() {
		defer close(l.ready)
		l.err = j.seal(l, names)
	})
	return l
}

// now is the time of what is made.
func (j *job) now() time.Time {
	if j.r.Timestamp != nil {
		return time.Unix(*j.r.Timestamp, 0).UTC()
	}
	return time.Now().UTC()
}

// seal reads the upper directory of a step.
func (j *job) seal(l *layer, lower []string) error {
	marks, err := j.c.Marks()
	if err != nil {
		return err
	}
	u := &image.Upper{Deleted: marks.Deleted, Opaque: marks.Opaque}
	if u.Dir, err = os.Open(l.dir.upper()); err != nil {
		return err
	}
	defer u.Dir.Close()
	if u.Lower, err = j.c.OpenLayers(lower); err != nil {
		return err
	}
	defer u.Lower.Close()
	if j.r.Timestamp != nil {
		u.Latest = time.Unix(*j.r.Timestamp, 0)
	}
	// The directory itself can be the layer if it is marked as the store's are, and
	// its times are those of the archive.
	if u.Latest.IsZero() && marks == fuseoverlay.Kernel {
		l.sealed, err = image.Seal(j.work, u, l.dir.upper(), filepath.Join(l.dir.path, "split"))
		return err
	}
	l.staged, err = j.stage(u)
	return err
}

// stage unpacks what an upper directory is as an archive.
func (j *job) stage(u *image.Upper) (*image.Staged, error) {
	from, to := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		out := bufio.NewWriterSize(to, 256<<10)
		err := image.PackUpper(j.work, out, u, nil)
		if err == nil {
			err = out.Flush()
		}
		to.CloseWithError(err)
		packed <- err
	}()
	layer, err := j.store.Stage(j.work, from, image.StageOptions{Source: "a step of the build", Holes: true})
	from.CloseWithError(err)
	if wrong := <-packed; wrong != nil {
		return nil, errors.Join(wrong, j.store.Discard(layer))
	}
	return layer, err
}

// keep puts layers into the store, those that are not there yet. Nobody may mount
// them meanwhile. It gives the id of the highest one.
func (j *job) keep(layers []*layer) (string, error) {
	// A layer that is read stands on those below, by their names.
	j.sealing.Wait()
	top := ""
	for _, l := range layers {
		if l.id != "" {
			top = l.id
			continue
		}
		<-l.ready
		if l.err != nil {
			return "", l.err
		}
		l.parent = top
		if err := j.keepOne(l, top); err != nil {
			return "", err
		}
		top = l.id
	}
	return top, nil
}

func (j *job) keepOne(l *layer, parent string) (err error) {
	switch {
	case l.sealed != nil && l.sealed.Empty(), l.staged != nil && l.staged.Empty():
		// Something was made that is in no layer, such as a socket.
		l.id = parent
		if l.staged != nil {
			return j.store.Discard(l.staged)
		}
		return nil
	case l.sealed != nil:
		if l.staged, err = j.store.Adopt(l.sealed); err != nil {
			return err
		}
	}
	if l.id, err = j.store.AddLayer(l.staged, parent); err != nil {
		return err
	}
	there, ok, err := j.store.Layer(l.id)
	if err == nil && !ok {
		err = api.Errorf("add layer", l.id, "it has gone at once")
	}
	l.link = there.Link
	return err
}

// removeSteps removes the directories of all steps.
func (j *job) removeSteps() {
	j.sealing.Wait()
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, d := range j.dirs {
		if err := removeStep(d.path); err != nil {
			j.c.Log.Warn("remove the directory of a step", "error", err)
		}
	}
	j.dirs = nil
}

// removeStep removes the directory of a step and what may be mounted in it.
func removeStep(path string) error {
	mounts, err := sys.Named(path, "mount", "")
	if err != nil {
		return err
	}
	for _, at := range mounts {
		if err := removeMount(at); err != nil {
			return err
		}
	}
	return os.RemoveAll(path)
}

// removeMount removes a directory at which something may be mounted, and what is in it
// otherwise.
func removeMount(at string) error {
	// EINVAL: it is no mount point.
	if err := unix.Unmount(at, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && err != unix.EINVAL {
		return &os.PathError{Op: "unmount", Path: at, Err: err}
	}
	return os.RemoveAll(at)
}
