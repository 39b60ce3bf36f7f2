package units

import (
	"strconv"
	"strings"

	"sbx/api"
)

// Options are what is wanted of the unit of a sandbox.
type Options struct {
	Exe      string // path of sbx
	Restart  string // Restart=, systemd.service(5); empty: on-failure
	Patience int    // seconds for the program to end; 0: what the sandbox says
}

// restarts are the values of Restart=.
var restarts = []string{"no", "on-success", "on-failure", "on-abnormal", "on-watchdog", "on-abort", "always"}

// ForSandbox is the text of a unit that starts and stops a sandbox that exists.
func ForSandbox(c *api.Config, o Options) (string, error) {
	if o.Restart == "" {
		o.Restart = "on-failure"
	}
	if !contains(restarts, o.Restart) {
		return "", api.Errorf("generate systemd", c.Name, "there is no restart policy %q", o.Restart).
			WithHint("systemd knows %s", strings.Join(restarts, ", "))
	}
	if !c.Lifecycle.Restart.None() {
		return "", api.Errorf("generate systemd", c.Name, "it has the restart policy %s, and systemd would be a second one to restart it", c.Lifecycle.Restart.Name).
			WithHint("sbx update --restart no %s; or leave it to sbx, with sbx system enable", c.Name)
	}
	if c.Lifecycle.AutoRemove {
		return "", api.Errorf("generate systemd", c.Name, "it is removed when it ends (--rm)").
			WithHint("write a .container file, and see sbx generate quadlet")
	}
	if o.Patience == 0 {
		o.Patience = 10
		if t := c.Lifecycle.StopTimeout; t != nil && *t > 0 {
			o.Patience = *t
		}
	}
	const grace = 60 // for what follows the end of a program, as podman has it
	exe, name := quote(o.Exe), quote(c.Name)
	return `[Unit]
Description=Sandbox ` + c.Name + `
Documentation=man:sbx-generate-systemd(1)

[Service]
Restart=` + o.Restart + `
TimeoutStopSec=` + strconv.Itoa(o.Patience+grace) + `
ExecStart=` + exe + ` start --attach ` + name + `
ExecStop=` + exe + ` stop --timeout ` + strconv.Itoa(o.Patience) + ` ` + name + `
KillMode=mixed

[Install]
WantedBy=default.target
`, nil
}

func contains(list []string, word string) bool {
	for _, w := range list {
		if w == word {
			return true
		}
	}
	return false
}
