package dirs

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
)

// Check makes the directories where they are missing.
func (d Dirs) Check() []api.Finding {
	const lost = "sbx cannot start"
	run := api.Finding{Name: "runtime directory", Level: api.Green, What: d.Run}
	err := d.CheckRun()
	if err == nil {
		err = private(d.Run)
	}
	if err != nil {
		run = api.Lacking(api.Red, run.Name, err, lost, api.Remedy{})
	} else if xdg := os.Getenv("XDG_RUNTIME_DIR"); os.Getenv("SBX_RUN") == "" && (!filepath.IsAbs(xdg) || !owned(xdg)) {
		run.What += ", as XDG_RUNTIME_DIR names none of your own"
	}
	data := api.Finding{Name: "data directory", Level: api.Green, What: d.Data}
	if usual, named, err := Usual(); err == nil && !named && usual != d.Data {
		data.What += ", as the file system of " + usual + " cannot hold images"
	}
	if err := private(d.Data); err != nil {
		data = api.Lacking(api.Red, data.Name, err, lost, api.Remedy{})
		return []api.Finding{data, run}
	}
	// A read-only file system has the directory, perhaps.
	if err := writable(d.Data); err != nil {
		data = api.Lacking(api.Red, data.Name, DiskError("write to", d.Data, err), lost, remedy.Data())
	}
	return []api.Finding{data, run}
}

// writable says why no file can be made in a directory.
func writable(dir string) error {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		_, err = unix.Write(fd, make([]byte, 1))
		unix.Close(fd)
		return err
	}
	if err != unix.EOPNOTSUPP && err != unix.EISDIR && err != unix.EINVAL {
		return err
	}
	f, err := os.CreateTemp(dir, ".doctor-") // no such file system
	if err != nil {
		return err
	}
	f.Close()
	return os.Remove(f.Name())
}
