package logfile

import (
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	east := time.FixedZone("", 2*3600)
	now := time.Date(2026, 11, 22, 9, 0, 0, 5, east)
	for in, want := range map[string]string{
		"10m":                            "2026-11-22T06:50:00.000000005Z",
		"1h30m":                          "2026-11-22T05:30:00.000000005Z",
		"-1h":                            "2026-11-22T08:00:00.000000005Z",
		"2026-01-02":                     "2026-01-01T22:00:00.000000000Z",
		"2026-01-02Z":                    "2026-01-02T00:00:00.000000000Z",
		"2026-01-02T15":                  "2026-01-02T13:00:00.000000000Z",
		"2026-01-02T15:04":               "2026-01-02T13:04:00.000000000Z",
		"2026-01-02T15:04Z":              "2026-01-02T15:04:00.000000000Z",
		"2026-01-02T15:04:05":            "2026-01-02T13:04:05.000000000Z",
		"2026-01-02T15:04:05.25":         "2026-01-02T13:04:05.250000000Z",
		"2026-01-02T15:04:05.123456789Z": "2026-01-02T15:04:05.123456789Z",
		"2026-01-02T15:04:05-07:00":      "2026-01-02T22:04:05.000000000Z",
		"2026-01-02T15:04:05.5+01:00":    "2026-01-02T14:04:05.500000000Z",
		"0":                              "1970-01-01T00:00:00.000000000Z",
		"1136073600":                     "2006-01-01T00:00:00.000000000Z",
		"1136073600.000000001":           "2006-01-01T00:00:00.000000001Z",
		"1136073600.5":                   "2006-01-01T00:00:00.500000000Z",
	} {
		got, err := ParseTime(in, now)
		if err != nil || stamp(got) != want {
			t.Errorf("%q: got %s, %v, want %s", in, stamp(got), err, want)
		}
	}
	for _, in := range []string{
		"", "yesterday", "2026-13-01", "2026-01-02T25:00", "1.", ".5", "1.1234567890", "1.x", "-5", "99999999999999",
		"2026-01-02 15:04",
	} {
		if got, err := ParseTime(in, now); err == nil || !strings.Contains(err.Error(), `"`+in+`"`) {
			t.Errorf("%q: got %v, error %v does not name it", in, got, err)
		}
	}
}

func TestClockIsRFC3339(t *testing.T) {
	var c clock
	for _, at := range []time.Time{
		time.Unix(0, 0), time.Unix(1767366245, 7), time.Unix(1767366245, 999999999), time.Unix(1767366246, 120),
		time.Date(2028, 2, 29, 23, 59, 59, 1, time.FixedZone("", -3600)),
	} {
		if got := string(c.set(at)[:]); got != stamp(at) {
			t.Errorf("got %s, want %s", got, stamp(at))
		}
	}
}
