// Package dirs says where sbx keeps its data and its sockets, and makes sure
// that both belong to the user alone.
package dirs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Dirs are absolute paths.
type Dirs struct {
	Data string // images, sandboxes, logs; survives a reboot
	Run  string // sockets and locks; need not
}

// Find reads the environment: SBX_DATA, XDG_DATA_HOME, HOME; SBX_RUN,
// XDG_RUNTIME_DIR. Without a runtime directory of the user's own (su, sudo,
// cron, CI) a private one under /tmp is used. For root they are in the system's places:
// its supervisor is an unprivileged user, who could not enter a home of root's. Where the
// file system of the usual place cannot hold data they are elsewhere, see Settle.
func Find() (Dirs, error) {
	data, err := dataDir()
	if err != nil {
		return Dirs{}, err
	}
	d := Dirs{Data: data, Run: runDir()}
	if os.Getenv("SBX_DATA") == "" {
		if elsewhere := settled(d.Run, data); elsewhere != "" {
			d.Data = elsewhere
		}
	}
	return d, nil
}

func dataDir() (string, error) {
	dir := os.Getenv("SBX_DATA")
	if dir == "" && os.Geteuid() == 0 {
		dir = "/var/lib/sbx"
	} else if dir == "" {
		if xdg := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(xdg) {
			dir = filepath.Join(xdg, "sbx")
		} else if home := os.Getenv("HOME"); filepath.IsAbs(home) {
			dir = filepath.Join(home, ".local/share/sbx")
		}
	}
	if !filepath.IsAbs(dir) {
		return "", api.Errorf("find the data directory", dir, "HOME is not set to an absolute path").
			WithHint("set SBX_DATA to a directory of your own")
	}
	return filepath.Clean(dir), nil
}

func runDir() string {
	if dir := os.Getenv("SBX_RUN"); filepath.IsAbs(dir) {
		return filepath.Clean(dir)
	}
	if os.Geteuid() == 0 {
		return "/run/sbx"
	}
	if xdg := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(xdg) && owned(xdg) {
		if run := filepath.Join(xdg, "sbx"); len(run) <= longestRun {
			return run
		}
	}
	return fmt.Sprintf("/tmp/sbx-%d", os.Getuid())
}

// longestRun leaves room for the name of rootlesskit's socket, rootlesskit/api.sock, in
// the 108 bytes of sun_path, unix(7). Our own sockets need none.
const longestRun = 107 - len("/rootlesskit/api.sock")

// CheckRun says whether sockets can be made below the runtime directory.
func (d Dirs) CheckRun() error {
	if len(d.Run) > longestRun {
		return api.Errorf("use the runtime directory", d.Run, "the path has %d bytes, and no more than %d leave room for the name of a socket", len(d.Run), longestRun).
			WithHint("set SBX_RUN to a directory with a shorter path")
	}
	return nil
}

func owned(dir string) bool {
	var st unix.Stat_t
	return unix.Stat(dir, &st) == nil && int(st.Uid) == os.Getuid() && st.Mode&0o077 == 0
}

// Make creates both directories where they are missing, and refuses ones that
// another user owns or may enter: whoever can write there can be us.
func (d Dirs) Make() error {
	for _, dir := range []string{d.Data, d.Run} {
		if err := private(dir); err != nil {
			return err
		}
	}
	return nil
}

func private(dir string) error {
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, os.ErrNotExist) {
		above := os.FileMode(0o700)
		if os.Geteuid() == 0 {
			above = 0o755 // root's supervisor is somebody else
		}
		if err = os.MkdirAll(filepath.Dir(dir), above); err == nil {
			err = os.Mkdir(dir, 0o700)
		}
	}
	if err != nil && !errors.Is(err, os.ErrExist) {
		return api.Wrap("mkdir", dir, errors.Unwrap(err)).WithHint("set SBX_DATA and SBX_RUN to directories that you can write")
	}
	// A symlink that somebody else planted in /tmp must not be followed; one of
	// our own, as $HOME/.local often is, lies above the last component.
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return api.Wrap("open", dir, err).WithHint("it must be a directory of your own, not a symbolic link")
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return api.Wrap("stat", dir, err)
	}
	if int(st.Uid) != os.Geteuid() && !roots(dir) {
		return api.Errorf("use", dir, "it belongs to uid %d", st.Uid).WithHint("set SBX_RUN and SBX_DATA to directories of your own")
	}
	if st.Mode&0o077 != 0 {
		if err := unix.Fchmod(fd, 0o700); err != nil {
			return api.Wrap("chmod 700", dir, err)
		}
	}
	return nil
}

// roots says that this is root, whose supervisor is somebody else, and that nobody but
// root could have put the directory there, or what is above it.
func roots(dir string) bool {
	var top, st unix.Stat_t
	above := filepath.Dir(dir)
	if os.Geteuid() != 0 || unix.Stat("/", &top) != nil || unix.Stat(above, &st) != nil || st.Uid != 0 || st.Mode&0o022 != 0 {
		return false
	}
	for above != "/" {
		above = filepath.Dir(above)
		// In a user namespace the machine's directories are not of its root, but of the
		// same user as the topmost.
		if unix.Stat(above, &st) != nil || st.Uid != 0 && st.Uid != top.Uid || st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
			return false
		}
	}
	return true
}

// GiveAway makes both directories, and gives them to root's supervisor where they are
// new. Owners are a user and a group.
func (d Dirs) GiveAway(uid, gid int) error {
	if err := d.Make(); err != nil {
		return err
	}
	for _, dir := range []string{d.Data, d.Run} {
		var st unix.Stat_t
		if err := unix.Lstat(dir, &st); err != nil {
			return api.Wrap("stat", dir, err)
		}
		switch {
		case !roots(dir):
			return api.Errorf("use", dir, "others than root can write to %s", filepath.Dir(dir)).
				WithHint("set SBX_RUN and SBX_DATA to directories below one that root alone can write, and all can enter")
		case int(st.Uid) == uid:
		case st.Uid != 0:
			return api.Errorf("use", dir, "it belongs to uid %d, and root's supervisor is uid %d", st.Uid, uid).
				WithHint("the ranges of root in /etc/subuid have changed: undo that, or remove the directory")
		default:
			if err := unix.Lchown(dir, uid, gid); err != nil {
				return api.Wrap("chown", dir, err)
			}
		}
	}
	return nil
}

// Doctor is where things are tried out. Nothing is left there.
func (d Dirs) Doctor() string { return filepath.Join(d.Data, "doctor") }

// Socket is where the supervisor listens.
func (d Dirs) Socket() string { return filepath.Join(d.Run, "sock") }

// Lock is held while a supervisor is being started.
func (d Dirs) Lock() string { return filepath.Join(d.Run, "lock") }

// Log is the supervisor's own log.
func (d Dirs) Log() string { return filepath.Join(d.Data, "sbxd.log") }

// Sandboxes holds a directory for each sandbox, named by its id.
func (d Dirs) Sandboxes() string { return filepath.Join(d.Data, "sandboxes") }

// Volumes holds a directory for each volume, named by it.
func (d Dirs) Volumes() string { return filepath.Join(d.Data, "volumes") }

// Storage is the graph root of containers/storage.
func (d Dirs) Storage() string { return filepath.Join(d.Data, "storage") }

// StorageRun is its run root.
func (d Dirs) StorageRun() string { return filepath.Join(d.Run, "storage") }

// Monitor is the socket of a sandbox's monitor.
func (d Dirs) Monitor(id string) string { return filepath.Join(d.Run, id, "monitor.sock") }

// RunOf is the runtime directory of a sandbox.
func (d Dirs) RunOf(id string) string { return filepath.Join(d.Run, id) }

// Networks holds a file for each network.
func (d Dirs) Networks() string { return filepath.Join(d.Data, "networks") }

// Switch is the network namespace with the bridges, as it is found from inside the
// supervisor's mount namespace.
func (d Dirs) Switch() string { return filepath.Join(d.Run, "switch", "netns") }
