package logfile

import (
	"strconv"
	"strings"
	"time"

	"sbx/api"
)

// ParseTime reads a time as Docker's --since and --until have it: RFC 3339 with
// parts missing from the end (in the zone of now unless it names one), seconds
// since 1970 with a fraction, or a Go duration that counts back from now. The
// error is an *api.Error that names the value.
func ParseTime(s string, now time.Time) (time.Time, error) {
	t, ok := parseTime(s, now)
	if year := t.UTC().Year(); !ok || year < 0 || year > 9999 {
		return time.Time{}, api.Errorf("read time", strconv.Quote(s), "neither a date, nor Unix seconds, nor a duration").
			WithHint("use one like 2026-01-02T15:04:05, 1767366245.5 or 10m")
	}
	return t, nil
}

func parseTime(s string, now time.Time) (time.Time, bool) {
	// "0" is a duration too, but as in Docker the seconds.
	if d, err := time.ParseDuration(s); err == nil && s != "0" {
		return now.Add(-d), true
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02T15", "2006-01-02"} {
		for _, zone := range []string{"", "Z07:00"} {
			if t, err := time.ParseInLocation(layout+zone, s, now.Location()); err == nil {
				return t, true
			}
		}
	}
	return parseUnix(s)
}

func parseUnix(s string) (time.Time, bool) {
	whole, fraction, point := strings.Cut(s, ".")
	sec, err := strconv.ParseUint(whole, 10, 62)
	if err != nil || point && fraction == "" {
		return time.Time{}, false
	}
	fraction = (fraction + "000000000")[:max(9, len(fraction))]
	ns, err := strconv.ParseUint(fraction, 10, 64)
	if err != nil || len(fraction) > 9 {
		return time.Time{}, false
	}
	return time.Unix(int64(sec), int64(ns)), true
}
