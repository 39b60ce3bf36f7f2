package view

import (
	"strconv"
	"strings"
	"time"
)

// ParseUntil reads the value of --filter until: how long ago (10m, 24h), a time or
// a date (2026-03-14, 2026-03-14T15:09:26, with a zone or in the local one), or
// seconds since 1970. https://docs.docker.com/reference/cli/docker/image/prune/
func ParseUntil(value string, now time.Time) (time.Time, error) {
	t, ok := parseMoment(value, now)
	if !ok {
		return t, filterError("until="+value, "it is neither a time nor how long ago").WithHint(momentHint)
	}
	return t, nil
}

const momentHint = "use 24h, 2026-03-14, 2026-03-14T15:09:26 or seconds since 1970"

// parseMoment reads a time in any of these ways.
func parseMoment(value string, now time.Time) (time.Time, bool) {
	if d, err := time.ParseDuration(value); err == nil {
		return now.Add(-d), true
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02Z07:00", "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, value); err == nil {
			return t, true
		}
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, value, time.Local); err == nil {
			return t, true
		}
	}
	whole, part, _ := strings.Cut(value, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	nano, err2 := strconv.ParseUint((part + "000000000")[:9], 10, 32)
	if err != nil || err2 != nil {
		return time.Time{}, false
	}
	return time.Unix(sec, int64(nano)), true
}
