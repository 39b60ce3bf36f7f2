package view

import (
	"fmt"
	"time"

	"github.com/docker/go-units"

	"sbx/api"
)

// statusText is Docker's STATUS: "Up 3 minutes", "Exited (137) 2 hours ago". The
// status of a sandbox whose monitor died is not known, and said to be so.
func statusText(s api.Status, now time.Time) string {
	switch s.State {
	case api.Created:
		return "Created"
	case api.Running:
		return "Up " + since(s.StartedAt, now)
	}
	code := fmt.Sprint(s.ExitCode)
	if s.Unknown {
		code = "unknown"
	}
	text := fmt.Sprintf("Exited (%s)", code)
	if !s.FinishedAt.IsZero() {
		text += " " + since(s.FinishedAt, now) + " ago"
	}
	return text
}

// since is the time from t to now in Docker's words: "About an hour".
func since(t, now time.Time) string {
	return units.HumanDuration(now.Sub(t))
}
