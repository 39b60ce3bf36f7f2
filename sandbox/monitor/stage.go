package monitor

import (
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
	"sbx/sandbox/pid1"
)

// stage mounts what comes from the host below points/stage, in a mount namespace
// of the calling thread, which the clone of pid 1 copies. A copy into another
// user namespace is locked: read-only stays read-only and what is covered stays
// covered, whatever capabilities the program has. mount_namespaces(7).
func stage(points string, spec *pid1.Spec) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return api.Wrap("unshare mount namespace", "", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return api.Wrap("mount --make-rprivate", "/", err)
	}
	at := filepath.Join(points, "stage")
	tmpfs, err := sys.NewMount("tmpfs", sys.NOSUID|sys.NODEV, [2]string{"mode", "700"})
	if err != nil {
		return err
	}
	defer unix.Close(tmpfs)
	if err := sys.AttachAt(tmpfs, unix.AT_FDCWD, at); err != nil {
		return err
	}
	if spec.Root.Host != "" {
		if err := unix.Mkdirat(tmpfs, "root", 0o755); err != nil {
			return api.Wrap("mkdir", at+"/root", err)
		}
		if err := pid1.ShowHost(&spec.Root, StagedRoot(points)); err != nil {
			return err
		}
	}
	for i := range spec.Mounts {
		m := spec.Mounts[i]
		if m.Type != "bind" {
			continue
		}
		if err := pid1.StageBind(&m, tmpfs, strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}

// StagedRoot is where the host's root was staged.
func StagedRoot(points string) string { return filepath.Join(points, "stage", "root") }

// StagedMount is where the bind number i was staged.
func StagedMount(points string, i int) string {
	return filepath.Join(points, "stage", strconv.Itoa(i))
}
