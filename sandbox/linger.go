package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sbx/api"
	"sbx/internal/remedy"
)

// Where systemd says that it runs the machine, and whose programs outlive their
// sessions. sd_booted(3), loginctl(1).
const (
	systemdRuns = "/run/systemd/system"
	lingerDir   = "/var/lib/systemd/linger"
)

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
	return c.s.tellOnce(c.conn, lingerTold, fmt.Sprintf("sandboxes end when %s logs out: "+
		"to keep them, and to have them started after a reboot: %s", user, remedy.Linger(user).Text))
}
