package main

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sbx/api"
)

// healthFlags say how it is found out whether the program does its work.
type healthFlags struct {
	cmd, onFailure                                string
	interval, timeout, startPeriod, startInterval time.Duration
	retries                                       int
	none                                          bool
}

func (f *healthFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.cmd, "health-cmd", "", "`COMMAND` that checks the program from time to time (default: the image's)")
	fs.DurationVar(&f.interval, "health-interval", 0, "`TIME` between checks: 30s unless the image says otherwise")
	fs.IntVar(&f.retries, "health-retries", 0, "failures in a row that mean unhealthy: 3")
	fs.DurationVar(&f.startInterval, "health-start-interval", 0, "`TIME` between checks in the start period: 5s")
	fs.DurationVar(&f.startPeriod, "health-start-period", 0, "`TIME` in which failures do not count")
	fs.DurationVar(&f.timeout, "health-timeout", 0, "`TIME` after which a check is killed: 30s")
	fs.StringVar(&f.onFailure, "health-on-failure", api.OnFailureNone, "`none|kill|restart|stop` what is unhealthy")
	fs.BoolVar(&f.none, "no-healthcheck", false, "no check, whatever the image says")
}

func (f *healthFlags) health(fs *pflag.FlagSet) (api.Health, error) {
	h := api.Health{
		Interval: f.interval, Timeout: f.timeout, StartPeriod: f.startPeriod, StartInterval: f.startInterval, Retries: f.retries,
	}
	given := false
	fs.Visit(func(flag *pflag.Flag) { given = given || strings.HasPrefix(flag.Name, "health-") })
	if f.none {
		if given {
			return h, &flagError{"--no-healthcheck conflicts with --health-* options"}
		}
		return api.Health{Test: []string{"NONE"}}, nil
	}
	for _, d := range []struct {
		flag string
		time time.Duration
	}{{"interval", f.interval}, {"timeout", f.timeout}, {"start-period", f.startPeriod}, {"start-interval", f.startInterval}} {
		if d.time != 0 && d.time < time.Millisecond {
			return h, invalid("--health-"+d.flag, d.time.String(), "expected 1ms or more")
		}
	}
	if f.retries < 0 {
		return h, &flagError{"--health-retries cannot be negative"}
	}
	switch f.onFailure {
	case api.OnFailureNone:
	case api.OnFailureKill, api.OnFailureRestart, api.OnFailureStop:
		h.OnFailure = f.onFailure
	default:
		return h, invalid("--health-on-failure", f.onFailure, "expected none, kill, restart or stop")
	}
	h.Test = healthTest(f.cmd)
	return h, nil
}

// healthTest is Docker's form of a check. As in podman, a JSON list is a command
// without a shell, and none is no check.
func healthTest(cmd string) []string {
	switch {
	case cmd == "":
		return nil
	case cmd == "none":
		return []string{"NONE"}
	case strings.HasPrefix(cmd, "["):
		var words []string
		if json.Unmarshal([]byte(cmd), &words) == nil && len(words) > 0 {
			if words[0] == "CMD" || words[0] == "CMD-SHELL" {
				return words
			}
			return append([]string{"CMD"}, words...)
		}
	}
	return []string{"CMD-SHELL", cmd}
}
