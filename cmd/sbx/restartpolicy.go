package main

import (
	"strconv"
	"strings"

	"sbx/api"
)

const restartUsage = "`no|on-failure[:N]|always|unless-stopped`: start the program again when it has ended"

// restartPolicy reads --restart.
func restartPolicy(text string) (api.Restart, error) {
	name, count, counted := strings.Cut(text, ":")
	r := api.Restart{Name: name}
	switch name {
	case api.RestartNo, "":
		r.Name = ""
	case api.RestartOnFailure, api.RestartAlways, api.RestartUnlessStopped:
	default:
		return r, invalid("--restart", text, "expected no, on-failure[:N], always or unless-stopped")
	}
	if !counted {
		return r, nil
	}
	var err error
	if r.Max, err = strconv.Atoi(count); err != nil || r.Max < 0 {
		return r, invalid("--restart", text, "the maximum of retries is a number")
	}
	if name != api.RestartOnFailure {
		return r, invalid("--restart", text, "only on-failure has a maximum of retries")
	}
	return r, nil
}
