package dirs

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Links in the runtime directory: where the data were looked for, and where they are.
const (
	soughtLink  = "data.sought"
	settledLink = "data.settled"
)

// Local is where the data go when those of the user's cannot be where they usually
// are: on a disk of this machine, and not in memory as /tmp may be.
func Local() string { return "/var/tmp/sbx-" + strconv.Itoa(os.Getuid()) }

// Usual is where the data are unless their file system cannot hold them; named says
// that the user has chosen the place, so that no other one will do.
func Usual() (dir string, named bool, err error) {
	dir, err = dataDir()
	return dir, os.Getenv("SBX_DATA") != "", err
}

// settled is the place that was found for data which are usually in usual; nothing,
// if none was looked for. Only a runtime directory of the user's own is believed.
func settled(run, usual string) string {
	var st unix.Stat_t
	if unix.Lstat(run, &st) != nil || st.Mode&(unix.S_IFMT|0o077) != unix.S_IFDIR || int(st.Uid) != os.Geteuid() {
		return ""
	}
	// Without the links this is one failed system call.
	sought, err := os.Readlink(filepath.Join(run, soughtLink))
	if err != nil || sought != usual {
		return ""
	}
	data, err := os.Readlink(filepath.Join(run, settledLink))
	if err != nil || !filepath.IsAbs(data) {
		return ""
	}
	return data
}

// Settled says that a place was found already for data that are usually in usual.
func (d Dirs) Settled(usual string) bool { return settled(d.Run, usual) != "" }

// Settle has Find give data in the place of usual, until the runtime directory goes.
func (d Dirs) Settle(usual, data string) error {
	for _, l := range []struct{ name, target string }{{settledLink, data}, {soughtLink, usual}} {
		path := filepath.Join(d.Run, l.name)
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return DiskError("remove", path, err)
		}
		if err := os.Symlink(l.target, path); err != nil {
			return DiskError("symlink", path, err)
		}
	}
	return nil
}

// Inhabited says that images, sandboxes or volumes are kept below dir.
func Inhabited(dir string) bool {
	d := Dirs{Data: dir}
	if _, err := os.Stat(filepath.Join(d.Storage(), "overlay-images", "images.json")); err == nil {
		return true
	}
	for _, path := range []string{d.Sandboxes(), d.Volumes()} {
		if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
			return true
		}
	}
	return false
}

// MakeLocal makes Local, or makes sure that it is the user's alone. Everybody may make
// files beside it: only the sticky bit keeps others from renaming it.
func MakeLocal() (string, error) {
	dir := Local()
	parent := filepath.Dir(dir)
	var st unix.Stat_t
	if err := unix.Stat(parent, &st); err != nil {
		return "", api.Wrap("stat", parent, err)
	}
	const overflow = 65534 // root, seen from a user namespace without it
	if st.Uid != 0 && st.Uid != overflow && int(st.Uid) != os.Geteuid() || st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return "", api.Errorf("use", parent, "others may rename what is in it").WithHint("set SBX_DATA to a directory on a local disk")
	}
	return dir, private(dir)
}
