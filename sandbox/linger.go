package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/internal/remedy"
	"sbx/view"
)

// Where systemd says that it runs the machine, and whose programs outlive their
// sessions. sd_booted(3), loginctl(1).
const (
	systemdRuns = "/run/systemd/system"
	lingerDir   = "/var/lib/systemd/linger"
)

// lingerTold is there when the user was told that sandboxes end with the session.
func (s *Supervisor) lingerTold() string { return filepath.Join(s.Dirs.Data, "linger-told") }

// lingers says whether what a user starts outlives the session, as far as systemd
// says anything about it.
func lingers(user, booted, dir string) bool {
	if _, err := os.Stat(booted); err != nil {
		return true // no session manager, or none that ends anything
	}
	_, err := os.Stat(filepath.Join(dir, user))
	return err == nil
}

// adviseLinger advises one who starts in the background what is to run for ever, but
// will not.
func (c *conversation) adviseLinger(r *api.Run) error {
	user := r.Spec.Caller.Name
	if !r.Detach || r.Spec.Lifecycle.Restart.None() || user == "" || strings.Contains(user, "/") || lingers(user, systemdRuns, lingerDir) {
		return nil
	}
	return c.adviseOnce(user)
}

// adviseOnce says, once, that sandboxes end when the user logs out.
func (c *conversation) adviseOnce(user string) error {
	f, err := os.OpenFile(c.s.lingerTold(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return dirs.DiskError("create", c.s.lingerTold(), err)
	}
	return c.conn.Send(api.KindErr, &api.Text{Text: fmt.Sprintf("sbx: note: sandboxes end when %s logs out: "+
		"to keep them, and to have them started after a reboot: %s\n", view.Safe(user), view.Safe(remedy.Linger(user).Text))})
}
