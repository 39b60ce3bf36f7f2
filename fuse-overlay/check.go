package fuseoverlay

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"sbx/api"
)

const checkName = "overlay"

// Check says who could mount the roots of sandboxes with their changes below dir. The
// conditions are those of Try.
func Check(dir string) []api.Finding {
	wrong, err := Try(dir)
	if err != nil {
		return []api.Finding{api.Lacking(api.Red, checkName, err, "no image can be run", api.Remedy{})}
	}
	path, missing := Find()
	if missing == nil {
		missing = mountOnce(path, dir)
	}
	switch {
	case wrong == nil && missing == nil:
		return []api.Finding{{Name: checkName, Level: api.Green, What: "by the kernel; fuse-overlayfs is there, too"}}
	case wrong == nil:
		return []api.Finding{{Name: checkName, Level: api.Green, What: "by the kernel"}}
	case missing == nil:
		f := api.Lacking(api.Yellow, checkName, wrong, "fuse-overlayfs mounts in the kernel's place: files are opened and read more slowly", api.Remedy{})
		return []api.Finding{f}
	}
	return []api.Finding{
		api.Lacking(api.Red, checkName, wrong, "no image can be run; sbx run host works", api.Remedy{}),
		api.Lacking(api.Red, Program, missing, "it could mount in the kernel's place", api.Remedy{}),
	}
}

// mountOnce has the program at path mount an overlay of nothing.
func mountOnce(path, dir string) error {
	lower := filepath.Join(dir, "fuse-try")
	if err := os.MkdirAll(lower, 0o700); err != nil {
		return err
	}
	if err := colon(dir); err != nil {
		return err
	}
	mount, server, err := Mount(path, &Layers{Dir: dir, Lower: []string{lower}})
	if err != nil {
		return err
	}
	if err := unix.Close(mount); err != nil {
		return err
	}
	return server.Wait()
}
