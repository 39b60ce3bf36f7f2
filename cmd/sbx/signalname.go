package main

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Linux has 31 signals and real-time ones; the C library keeps 32 and 33.
const (
	sigRTMin = 34
	sigRTMax = 64
)

// signalFlag checks a signal: a name with or without SIG, RTMIN+n, RTMAX-n, or a
// number. Real-time names become numbers.
func signalFlag(flag, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	if n, err := strconv.Atoi(text); err == nil {
		if n < 1 || n > sigRTMax {
			return "", invalid(flag, text, "signals have numbers from 1 to 64")
		}
		return text, nil
	}
	name := strings.TrimPrefix(strings.ToUpper(text), "SIG")
	if n := realTime(name); n != 0 {
		return strconv.Itoa(n), nil
	}
	if unix.SignalNum("SIG"+name) == 0 {
		return "", invalid(flag, text, "no signal has that name, see signal(7)")
	}
	return "SIG" + name, nil
}

func realTime(name string) int {
	for _, base := range []struct {
		name string
		num  int
	}{{"RTMIN", sigRTMin}, {"RTMAX", sigRTMax}} {
		rest, ok := strings.CutPrefix(name, base.name)
		if !ok {
			continue
		}
		if rest == "" {
			return base.num
		}
		n, err := strconv.Atoi(rest)
		if err != nil || base.num+n < sigRTMin || base.num+n > sigRTMax || (rest[0] != '+' && rest[0] != '-') {
			return 0
		}
		return base.num + n
	}
	return 0
}
