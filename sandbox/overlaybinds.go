package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sbx/api"
	"sbx/internal/dirs"
)

// overlaysName is the directory of a sandbox with what its program has written over binds
// with the option O, one directory for each mount by its number.
const overlaysName = "overlays"

// overlaid says that what is written to a mount does not reach its source.
func overlaid(m *api.Mount) bool {
	return m.Type == api.MountBind && slices.Contains(strings.Split(m.Options, ","), api.OptOverlay)
}

// makeOverlays makes the directories for what is written over binds. What an earlier
// program of the sandbox has written there is gone.
func (s *Supervisor) makeOverlays(b *box) error {
	mounts := s.hostMounts(&b.config)
	if !slices.ContainsFunc(mounts, func(m api.Mount) bool { return m.Layer != "" }) {
		return nil
	}
	all := filepath.Join(b.dir, overlaysName)
	if err := os.RemoveAll(all); err != nil {
		return dirs.DiskError("remove", all, err)
	}
	for _, m := range mounts {
		if m.Layer == "" {
			continue
		}
		if covered([]string{filepath.Clean(m.Source)}, s.Dirs.Data) {
			return api.Errorf("mount overlay over", m.Source, "the data directory of sbx, where the changes go, is in it: %s", s.Dirs.Data).
				WithHint("name a directory that does not hold it, or set SBX_DATA")
		}
		for _, name := range []string{"upper", "work"} {
			dir := filepath.Join(s.Dirs.Data, m.Layer, name)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return dirs.DiskError("mkdir", dir, err)
			}
		}
	}
	return nil
}
