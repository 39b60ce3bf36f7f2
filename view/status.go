package view

import (
	"fmt"
	"time"

	"github.com/docker/go-units"

	"sbx/api"
)

// statusText is Docker's STATUS: "Up 3 minutes", "Exited (137) 2 hours ago". The
// status of a sandbox whose monitor died is not known, and said to be so.
func statusText(box *api.Sandbox, now time.Time) string {
	s := &box.Status
	switch s.State {
	case api.Created:
		return "Created"
	case api.Running:
		return "Up " + since(s.StartedAt, now) + healthText(box.Health)
	case api.Paused:
		return "Up " + since(s.StartedAt, now) + " (Paused)"
	}
	code := fmt.Sprint(s.ExitCode)
	if s.Unknown {
		code = "unknown"
	}
	word := "Exited"
	if s.State == api.Restarting {
		word = "Restarting"
	}
	text := fmt.Sprintf("%s (%s)", word, code)
	if !s.FinishedAt.IsZero() {
		text += " " + since(s.FinishedAt, now) + " ago"
	}
	return text
}

// healthText is how a check shows in STATUS: " (healthy)".
func healthText(h *api.HealthState) string {
	switch {
	case h == nil:
		return ""
	case h.Status == api.Starting:
		return " (health: starting)"
	}
	return " (" + h.Status + ")"
}

// since is the time from t to now in Docker's words: "About an hour".
func since(t, now time.Time) string {
	return units.HumanDuration(now.Sub(t))
}
