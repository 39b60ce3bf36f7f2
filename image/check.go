package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"

	"sbx/api"
)

// lostStore is what a file system costs that cannot hold images.
const lostStore = "no image can be unpacked; sbx run host works"

// Check says whether the file system of the directory dir can hold images: it does
// there what unpacking a layer does. The caller is uid 0 of its user namespace.
func Check(dir string) api.Finding {
	const name = "image store"
	// A little more than a distribution takes.
	const little = 1 << 30
	local := api.Remedy{Text: "set SBX_DATA to a directory on a local disk"}
	foreign, err := unpackable(dir)
	switch {
	case err != nil:
		return api.Lacking(api.Red, name, err, lostStore, local)
	case foreign != nil:
		// A network file system, say, knows nothing of a user's subordinate ids.
		return api.Lacking(api.Yellow, name, foreign, "images with files of others than root, which most have, cannot be unpacked", local)
	}
	f := api.Finding{Name: name, Level: api.Green}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return api.Lacking(api.Red, name, api.Wrap("statfs", dir, err), lostStore, api.Remedy{})
	}
	free := int64(fs.Bavail) * fs.Bsize
	f.What = units.HumanSize(float64(free)) + " free"
	if free < little {
		f.Level, f.Lost = api.Yellow, "most images are larger"
		f.Text = "sbx system prune -a, or set SBX_DATA to a directory elsewhere"
	}
	if fs.Files > 0 && fs.Ffree < 10_000 {
		f.Level, f.Lost = api.Yellow, fmt.Sprintf("no more than %d files fit, images have more", fs.Ffree)
		f.Text = "sbx system prune -a, or set SBX_DATA to a directory elsewhere"
	}
	return f
}

// Unfit says why the file system of dir cannot hold images of more than one owner;
// nil: it can. The caller is uid 0 of its user namespace.
func Unfit(dir string) error {
	foreign, err := unpackable(dir)
	if err != nil {
		return err
	}
	return foreign
}

// unpackable makes what layers have: attributes, links, locks; and files of other
// owners: foreign says why those cannot be.
func unpackable(dir string) (foreign, err error) {
	top := filepath.Join(dir, "store-try")
	if err := os.RemoveAll(top); err != nil {
		return nil, err
	}
	if err := os.Mkdir(top, 0o700); err != nil {
		return nil, api.Wrap("mkdir", top, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(top)) }()
	path := filepath.Join(top, "file")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return nil, api.Wrap("create", path, err)
	}
	defer f.Close()
	fd := int(f.Fd())
	for _, step := range []struct {
		what string
		err  error
	}{
		{"set mode 4755 of", unix.Fchmod(fd, 0o4755)},
		{"set a user.* attribute of", unix.Fsetxattr(fd, "user.sbx.try", []byte("y"), 0)},
		{"lock", unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)},
		{"link", unix.Link(path, path+"2")},
		{"link symbolically", unix.Symlink("file", path+"3")},
		{"rename", unix.Rename(path+"2", path+"4")},
		{"write to disk", unix.Fsync(fd)},
	} {
		if step.err != nil {
			return nil, api.Wrap(step.what, path, step.err)
		}
	}
	uids, err := readIDMap("/proc/self/uid_map")
	if err != nil {
		return nil, err
	}
	gids, err := readIDMap("/proc/self/gid_map")
	if err != nil {
		return nil, err
	}
	if uids.has(1) && gids.has(1) {
		if err := unix.Fchown(fd, 1, 1); err != nil {
			return api.Wrap("chown to a subordinate id", path, err), nil
		}
	}
	return nil, nil
}
