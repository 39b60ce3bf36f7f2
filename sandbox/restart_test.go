package sandbox

import (
	"testing"
	"time"

	"sbx/api"
)

func TestRestartAfter(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ran := func(d time.Duration, code int) api.Status {
		return api.Status{State: api.Exited, StartedAt: start, FinishedAt: start.Add(d), ExitCode: code}
	}
	always := api.Restart{Name: api.RestartAlways}
	for name, c := range map[string]struct {
		policy api.Restart
		had    revival
		end    api.Status
		yes    bool
		delay  time.Duration
	}{
		"no policy":            {api.Restart{}, revival{}, ran(0, 1), false, 0},
		"no":                   {api.Restart{Name: api.RestartNo}, revival{}, ran(0, 1), false, 0},
		"always":               {always, revival{}, ran(0, 0), true, 100 * time.Millisecond},
		"unless stopped":       {api.Restart{Name: api.RestartUnlessStopped}, revival{}, ran(0, 0), true, 100 * time.Millisecond},
		"by hand":              {always, revival{Hand: true}, ran(0, 0), false, 0},
		"success":              {api.Restart{Name: api.RestartOnFailure}, revival{}, ran(0, 0), false, 0},
		"failure":              {api.Restart{Name: api.RestartOnFailure}, revival{Count: 99}, ran(0, 1), true, 100 * time.Millisecond},
		"the last try":         {api.Restart{Name: api.RestartOnFailure, Max: 3}, revival{Count: 2}, ran(0, 1), true, 100 * time.Millisecond},
		"one too many":         {api.Restart{Name: api.RestartOnFailure, Max: 3}, revival{Count: 3}, ran(0, 1), false, 0},
		"twice as long":        {always, revival{Delay: 3 * time.Second}, ran(9*time.Second, 1), true, 6 * time.Second},
		"no longer":            {always, revival{Delay: 40 * time.Second}, ran(0, 1), true, time.Minute},
		"it has run well":      {always, revival{Delay: 40 * time.Second}, ran(10*time.Second, 1), true, 100 * time.Millisecond},
		"it was never there":   {always, revival{Delay: time.Second}, api.Status{State: api.Exited, FinishedAt: start, ExitCode: 125}, true, 2 * time.Second},
		"nobody knows its end": {api.Restart{Name: api.RestartOnFailure}, revival{}, api.Status{State: api.Exited, Unknown: true, ExitCode: 255, StartedAt: start, FinishedAt: start}, true, 100 * time.Millisecond},
	} {
		got, yes := c.had.after(&c.policy, &c.end)
		if yes != c.yes {
			t.Errorf("%s: restarted %v, want %v", name, yes, c.yes)
			continue
		}
		if yes && (got.Delay != c.delay || got.Count != c.had.Count+1 || !got.Ended.Equal(c.end.FinishedAt)) {
			t.Errorf("%s: %+v, want a delay of %v", name, got, c.delay)
		}
		if !yes && got != c.had {
			t.Errorf("%s: the account changed: %+v", name, got)
		}
	}
}

func TestCheckRestart(t *testing.T) {
	for _, p := range []api.Restart{{Name: "sometimes"}, {Name: api.RestartAlways, Max: 1}, {Max: 1}, {Name: api.RestartOnFailure, Max: -1}} {
		if checkRestart(&p) == nil {
			t.Errorf("%+v is taken", p)
		}
	}
}
