package sandbox

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"sbx/api"
	"sbx/image"
)

func TestHealthRules(t *testing.T) {
	c := &api.Health{Retries: 2, StartPeriod: time.Minute, Interval: 7 * time.Second, StartInterval: time.Second}
	h := &health{api.HealthState{Status: api.Starting}}
	for i, step := range []struct {
		ran     time.Duration
		code    int
		changed bool
		status  string
		streak  int
		pause   time.Duration // after it
	}{
		{time.Second, 1, false, api.Starting, 0, time.Second},
		{2 * time.Second, -1, false, api.Starting, 0, time.Second},
		{61 * time.Second, 1, false, api.Starting, 1, 7 * time.Second},
		{62 * time.Second, 1, true, api.Unhealthy, 2, 7 * time.Second},
		{63 * time.Second, 1, false, api.Unhealthy, 3, 7 * time.Second},
		{64 * time.Second, 0, true, api.Healthy, 0, 7 * time.Second},
		{5 * time.Second, 1, false, api.Healthy, 1, 7 * time.Second}, // in the start period, but it has worked
		{6 * time.Second, 1, true, api.Unhealthy, 2, 7 * time.Second},
	} {
		changed := h.add(c, api.HealthResult{ExitCode: step.code}, step.ran)
		if changed != step.changed || h.Status != step.status || h.FailingStreak != step.streak || h.pause(c, step.ran) != step.pause {
			t.Errorf("step %d: changed %v, %+v, pause %v; want %+v", i, changed, h.HealthState, h.pause(c, step.ran), step)
		}
	}
	if len(h.Log) != healthResults {
		t.Errorf("%d results are kept", len(h.Log))
	}
	if d := (&health{}).pause(&api.Health{}, 0); d != api.HealthInterval {
		t.Errorf("the usual interval is %v", d)
	}
}

func TestMergeHealth(t *testing.T) {
	img := &image.Config{
		Healthcheck: json.RawMessage(`{"Test":["CMD","look"],"Interval":5000000000,"Timeout":1,"Retries":4}`), Shell: []string{"/bin/ash", "-c"},
	}
	full := api.Health{Test: []string{"CMD", "look"}, Interval: 5 * time.Second, Retries: 4, Shell: img.Shell}
	own := full
	own.Test, own.Interval = []string{"CMD-SHELL", "x"}, time.Second
	none := api.Health{Test: []string{"NONE"}}
	for name, c := range map[string]struct {
		user api.Health
		img  *image.Config
		want api.Health
	}{
		"the image's":       {api.Health{}, img, full},
		"the user's":        {api.Health{Test: own.Test, Interval: own.Interval}, img, own},
		"none":              {none, img, none},
		"nobody's":          {api.Health{}, &image.Config{Shell: img.Shell}, api.Health{}},
		"an odd one":        {api.Health{}, &image.Config{Healthcheck: json.RawMessage(`{"Test":["RUN","x"]}`)}, api.Health{}},
		"not even JSON":     {api.Health{}, &image.Config{Healthcheck: json.RawMessage(`[1]`)}, api.Health{}},
		"negative":          {api.Health{Test: own.Test}, &image.Config{Healthcheck: json.RawMessage(`{"Interval":-1,"Retries":-1}`)}, api.Health{Test: own.Test}},
		"switched off":      {api.Health{}, &image.Config{Healthcheck: json.RawMessage(`{"Test":["NONE"]}`)}, api.Health{}},
		"without a command": {api.Health{}, &image.Config{Healthcheck: json.RawMessage(`{"Test":["CMD"]}`)}, api.Health{}},
	} {
		got := c.user
		mergeHealth(&got, c.img)
		if !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
	if args := checkArgs(&own); !reflect.DeepEqual(args, []string{"/bin/ash", "-c", "x"}) {
		t.Errorf("command of a shell: %q", args)
	}
	if args := checkArgs(&full); !reflect.DeepEqual(args, []string{"look"}) {
		t.Errorf("command: %q", args)
	}
}

func TestCheckHealth(t *testing.T) {
	for _, h := range []api.Health{{Interval: 1}, {Timeout: -1}, {StartPeriod: time.Microsecond}, {Retries: -1}, {OnFailure: "panic"}} {
		if err := checkHealth(&h); err == nil || !strings.Contains(err.Error(), "health check") {
			t.Errorf("%+v: %v", h, err)
		}
	}
}
