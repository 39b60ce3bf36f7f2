package api

import (
	"time"

	"sbx/internal/wire"
)

// Health is the check that tells whether a program does its work. What is 0 has
// Docker's default: HealthInterval and its neighbours.
type Health struct {
	// Test is what is run: {"CMD", ARG...}, {"CMD-SHELL", LINE}, or {"NONE"} for no
	// check, whatever the image says. Empty: what the image says.
	Test          []string      `json:"test,omitempty"`
	Interval      time.Duration `json:"interval,omitempty"`
	Timeout       time.Duration `json:"timeout,omitempty"`
	StartPeriod   time.Duration `json:"start_period,omitempty"`   // failures do not count before the first success
	StartInterval time.Duration `json:"start_interval,omitempty"` // between checks in that time
	Retries       int           `json:"retries,omitempty"`        // failures in a row that make it unhealthy
	Shell         []string      `json:"shell,omitempty"`          // of CMD-SHELL; empty: /bin/sh -c
	OnFailure     string        `json:"on_failure,omitempty"`     // what happens then: none (also ""), kill, restart, stop
}

// Docker's defaults.
const (
	HealthInterval      = 30 * time.Second
	HealthTimeout       = 30 * time.Second
	HealthStartInterval = 5 * time.Second
	HealthRetries       = 3
)

// What may happen to a sandbox that has become unhealthy, in podman's words.
const (
	OnFailureNone    = "none"
	OnFailureKill    = "kill"
	OnFailureRestart = "restart"
	OnFailureStop    = "stop"
)

// Enabled says whether there is anything to run.
func (h *Health) Enabled() bool { return len(h.Test) > 1 }

// Fields implements wire.Message.
func (h *Health) Fields(c *wire.Coder) {
	c.Strings(&h.Test)
	wire.Int(c, &h.Interval)
	wire.Int(c, &h.Timeout)
	wire.Int(c, &h.StartPeriod)
	wire.Int(c, &h.StartInterval)
	wire.Int(c, &h.Retries)
	c.Strings(&h.Shell)
	c.String(&h.OnFailure)
}

// What a check has found, in Docker's words.
const (
	HealthNone = "none" // there is no check
	Starting   = "starting"
	Healthy    = "healthy"
	Unhealthy  = "unhealthy"
)

// HealthState is the result of the checks so far, in Docker's form.
type HealthState struct {
	Status        string
	FailingStreak int
	Log           []HealthResult // the last few, oldest first
}

// HealthResult is one check.
type HealthResult struct {
	Start    time.Time
	End      time.Time
	ExitCode int    // -1: it took too long, or could not be run
	Output   string // its beginning
}
