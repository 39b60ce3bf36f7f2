package sandbox

import (
	"errors"
	"os"
	"path/filepath"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/view"
)

// Files in the data directory that are there when the user was told about something.
const (
	lingerTold   = "linger-told"
	loneTold     = "single-id-told"
	lacksTold    = "lacks-told"
	insteadTold  = "slirp4netns-told"
	onlyIPv4Told = "ipv4-told"

	elsewhereTold = "elsewhere-told"
)

// told is the path of such a file.
func (s *Supervisor) told(name string) string { return filepath.Join(s.Dirs.Data, name) }

// tellOnce sends a note to a command line, and none to a user who was told before.
func (s *Supervisor) tellOnce(conn *api.Conn, name, note string) error {
	file := s.told(name)
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return dirs.DiskError("create", file, err)
	}
	return conn.Send(api.KindErr, &api.Text{Text: "sbx: note: " + view.Safe(note) + "\n"})
}
