package image

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sbx/api"
)

// healthcheck is the check of an image, in Docker's form.
type healthcheck struct {
	Test          []string      `json:",omitempty"`
	Interval      time.Duration `json:",omitempty"`
	Timeout       time.Duration `json:",omitempty"`
	StartPeriod   time.Duration `json:",omitempty"`
	StartInterval time.Duration `json:",omitempty"`
	Retries       int           `json:",omitempty"`
}

// SetHealth makes the check of a sandbox that of the image.
func (c *Config) SetHealth(h *api.Health) {
	c.Healthcheck = nil
	if len(h.Test) > 0 {
		c.setHealthcheck(&healthcheck{h.Test, h.Interval, h.Timeout, h.StartPeriod, h.StartInterval, h.Retries})
	}
}

func (c *Config) setHealthcheck(h *healthcheck) {
	text, err := json.Marshal(h)
	if err != nil {
		panic(err) // strings and numbers
	}
	c.Healthcheck = text
}

// healthcheck takes [--interval=TIME ...] CMD COMMAND, or NONE.
func (c *Config) healthcheck(args string) error {
	var h healthcheck
	for {
		flag, rest := cutWord(args)
		if !strings.HasPrefix(flag, "--") {
			break
		}
		if err := h.flag(flag); err != nil {
			return err
		}
		args = rest
	}
	kind, command := cutWord(args)
	switch strings.ToUpper(kind) {
	case "NONE":
		if command != "" {
			return fmt.Errorf("HEALTHCHECK NONE takes no arguments")
		}
		h.Test = []string{"NONE"}
	case "CMD":
		argv, ok := list(command)
		switch {
		case command == "" || ok && len(argv) == 0:
			return fmt.Errorf("HEALTHCHECK CMD needs a command")
		case ok:
			h.Test = append([]string{"CMD"}, argv...)
		default:
			h.Test = []string{"CMD-SHELL", command}
		}
	default:
		return fmt.Errorf("HEALTHCHECK wants CMD or NONE, not %q", kind)
	}
	c.setHealthcheck(&h)
	return nil
}

func (h *healthcheck) flag(flag string) error {
	name, value, given := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
	if name == "retries" {
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil {
			return fmt.Errorf("%s: a number is wanted", flag)
		}
		h.Retries = int(n)
		return nil
	}
	to := map[string]*time.Duration{
		"interval": &h.Interval, "timeout": &h.Timeout, "start-period": &h.StartPeriod, "start-interval": &h.StartInterval,
	}[name]
	if to == nil {
		return fmt.Errorf("HEALTHCHECK has no flag --%s", name)
	}
	d, err := time.ParseDuration(value)
	if !given || err != nil || d != 0 && d < time.Millisecond {
		return fmt.Errorf("%s: a time of 1ms or more is wanted: --%s=30s", flag, name)
	}
	*to = d
	return nil
}

// cutWord splits behind the first word.
func cutWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, " \t")
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimSpace(s[i:])
}
