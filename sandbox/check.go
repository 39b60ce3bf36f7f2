package sandbox

import (
	"strings"

	"sbx/api"
	"sbx/internal/remedy"
)

// CheckLinger says whether the sandboxes of a user outlive the session.
func CheckLinger(user string) api.Finding {
	f := api.Finding{Name: "lingering", Level: api.Green, What: "sandboxes go on when you log out"}
	if user != "" && !strings.Contains(user, "/") && !lingers(user, systemdRuns, lingerDir) {
		f.Level, f.What = api.Yellow, "systemd ends your programs when you log out"
		f.Lost, f.Remedy = "sandboxes in the background end then, too, and none is started after a reboot", remedy.Linger(user)
	}
	return f
}
