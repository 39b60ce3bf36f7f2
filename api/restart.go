package api

import (
	"strconv"

	"sbx/internal/wire"
)

// Names of restart policies. "no" is also "".
const (
	RestartNo            = "no"
	RestartOnFailure     = "on-failure"     // an exit status other than 0
	RestartAlways        = "always"         // whatever the exit status; after a reboot, even if it was stopped before
	RestartUnlessStopped = "unless-stopped" // always, but not after a stop by the user
)

// Restart is what becomes of a program that has ended without being asked to.
type Restart struct {
	Name string `json:"name,omitempty"`
	Max  int    `json:"max,omitempty"` // of on-failure: how often at most; 0: without end
}

// None says that nothing is ever started again.
func (r *Restart) None() bool { return r.Name == "" || r.Name == RestartNo }

// String is the policy as --restart has it.
func (r Restart) String() string {
	switch {
	case r.None():
		return RestartNo
	case r.Max > 0:
		return r.Name + ":" + strconv.Itoa(r.Max)
	}
	return r.Name
}

// Fields implements wire.Message.
func (r *Restart) Fields(c *wire.Coder) {
	c.String(&r.Name)
	wire.Int(c, &r.Max)
}
