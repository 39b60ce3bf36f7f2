package logfile

import (
	"math"
	"strconv"
	"strings"

	"sbx/api"
)

// Options say how much of a log is kept.
type Options struct {
	MaxSize int64 // bytes at which the current file is rotated; 0: never
	MaxFile int   // files kept, the current one included; 0 means 1
}

// ParseOptions reads Docker's --log-opt keys: max-size (bytes, or with k, m, g
// in powers of 1000 as Docker's json-file has them; -1: no limit) and max-file.
// The error is an *api.Error that names the key.
func ParseOptions(opts map[string]string) (Options, error) {
	o := Options{MaxFile: 1}
	for key, value := range opts {
		switch key {
		case "max-size":
			n, ok := parseSize(value)
			if !ok {
				return Options{}, badOption(key, value, "is not a size", "use a number with k, m or g, such as 10m")
			}
			o.MaxSize = n
		case "max-file":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 {
				return Options{}, badOption(key, value, "is not a number of files from 1", "use a number such as 3")
			}
			o.MaxFile = n
		default:
			return Options{}, badOption(key, value, "is not known", "max-size and max-file are")
		}
	}
	return o, nil
}

func badOption(key, value, cause, hint string) error {
	return api.Errorf("--log-opt", key+"="+value, "%s", cause).WithHint("%s", hint)
}

// parseSize reads "512", "10k", "1.5mb", "1GB" or "-1"; the result is in bytes.
func parseSize(s string) (int64, bool) {
	if s == "-1" {
		return 0, true
	}
	s = strings.TrimSuffix(strings.ToLower(s), "b")
	unit := 1.0
	if n := len(s) - 1; n > 0 {
		if exp := strings.IndexByte("kmg", s[n]); exp >= 0 {
			unit, s = math.Pow(1000, float64(exp+1)), s[:n]
		}
	}
	if strings.Trim(s, "0123456789.") != "" {
		return 0, false // ParseFloat takes inf, hexadecimal and exponents too
	}
	f, err := strconv.ParseFloat(s, 64)
	if bytes := f * unit; err == nil && bytes >= 1 && bytes < math.MaxInt64 {
		return int64(bytes), true
	}
	return 0, false
}
