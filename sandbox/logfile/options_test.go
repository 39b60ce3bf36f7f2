package logfile

import (
	"errors"
	"strings"
	"testing"

	"sbx/api"
)

func TestParseOptions(t *testing.T) {
	for in, want := range map[string]Options{
		"":                        {0, 1},
		"max-size=10m":            {10e6, 1},
		"max-size=10M,max-file=3": {10e6, 3},
		"max-size=1.5kb":          {1500, 1},
		"max-size=2g":             {2e9, 1},
		"max-size=512":            {512, 1},
		"max-size=512b":           {512, 1},
		"max-size=-1,max-file=1":  {0, 1},
	} {
		if got, err := ParseOptions(pairs(in)); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{
		"max-size=", "max-size=m", "max-size=0", "max-size=-5m", "max-size=0.1", "max-size=1e3", "max-size=inf", "max-size=nan",
		"max-size=0x10", "max-size=10t", "max-size=10 m", "max-size=99999999999g", "max-size=1.2.3", "max-file=0", "max-file=x",
		"max-file=1.5", "mode=non-blocking",
	} {
		_, err := ParseOptions(pairs(in))
		var e *api.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), in) {
			t.Errorf("%q: error %v does not name it", in, err)
		}
	}
}

func pairs(s string) map[string]string {
	opts := map[string]string{}
	for _, pair := range strings.Split(s, ",") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			opts[key] = value
		}
	}
	return opts
}
