package sandbox

import (
	"encoding/json"
	"time"

	"sbx/api"
	"sbx/image"
)

// shortestCheck is the shortest time that a check may have, as in Docker.
const shortestCheck = time.Millisecond

// checkHealth refuses what no check can be.
func checkHealth(h *api.Health) error {
	for _, d := range []struct {
		name string
		time time.Duration
	}{{"interval", h.Interval}, {"timeout", h.Timeout}, {"start period", h.StartPeriod}, {"start interval", h.StartInterval}} {
		if d.time != 0 && d.time < shortestCheck {
			return api.Errorf("health check", "", "the %s cannot be less than %v", d.name, shortestCheck)
		}
	}
	if h.Retries < 0 {
		return api.Errorf("health check", "", "the number of retries cannot be negative")
	}
	switch h.OnFailure {
	case "", api.OnFailureNone, api.OnFailureKill, api.OnFailureRestart, api.OnFailureStop:
	default:
		return api.Errorf("health check", h.OnFailure, "no such action").WithHint("actions are none, kill, restart and stop")
	}
	return nil
}

// mergeHealth fills in what the image says about its check, where the user has said
// nothing. What makes no sense in an image has the usual value.
func mergeHealth(h *api.Health, img *image.Config) {
	if len(h.Test) == 1 && h.Test[0] == "NONE" {
		return
	}
	var own struct {
		Test                                          []string
		Interval, Timeout, StartPeriod, StartInterval time.Duration
		Retries                                       int
	}
	if len(img.Healthcheck) > 0 && json.Unmarshal(img.Healthcheck, &own) != nil {
		return // it is not in Docker's form
	}
	if len(h.Test) == 0 && len(own.Test) > 1 && (own.Test[0] == "CMD" || own.Test[0] == "CMD-SHELL") {
		h.Test = own.Test
	}
	for _, d := range []struct {
		to    *time.Duration
		image time.Duration
	}{{&h.Interval, own.Interval}, {&h.Timeout, own.Timeout}, {&h.StartPeriod, own.StartPeriod}, {&h.StartInterval, own.StartInterval}} {
		if *d.to == 0 && d.image >= shortestCheck {
			*d.to = d.image
		}
	}
	if h.Retries == 0 {
		h.Retries = max(own.Retries, 0)
	}
	h.Shell = img.Shell
	if !h.Enabled() && h.OnFailure == "" {
		*h = api.Health{}
	}
}
