package doctor

import (
	"errors"
	"os"

	"sbx/api"
	"sbx/internal/dirs"
	"sbx/userns"
)

// LeaveRoot makes a process of root's one of an unprivileged user, by executing this
// program again; a user's it leaves alone. Root of a user namespace without other ids
// stays what it is, unless that is root of the machine.
func LeaveRoot(d dirs.Dirs) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var ids *userns.Given
	if userns.MayMap() {
		ids = userns.ForRoot(userns.ThisHost())
	}
	if ids == nil && userns.RealRoot() {
		return api.Errorf("start the supervisor", "", "root of the machine is in no sandbox, and there are no other ids: CAP_SETUID and CAP_SETGID are missing").
			WithHint("run sbx as an ordinary user: setpriv --reuid USER --regid USER --init-groups sbx ...")
	}
	if ids == nil {
		return nil
	}
	if err := d.GiveAway(ids.UIDs.Start, ids.GIDs.Start); err != nil {
		return err
	}
	errs := []error{os.Setenv("SBX_DATA", d.Data), os.Setenv("SBX_RUN", d.Run), os.Setenv("HOME", "/")}
	// What they say is root's.
	for _, name := range []string{"USER", "LOGNAME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "DBUS_SESSION_BUS_ADDRESS"} {
		errs = append(errs, os.Unsetenv(name))
	}
	return errors.Join(append(errs, os.Chdir("/"), ids.Become())...)
}
