package main

import (
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
	"sbx/sandbox/logfile"
)

// lifecycleFlags say how a sandbox ends and what remains of it.
type lifecycleFlags struct {
	remove      bool
	stopSignal  string
	stopTimeout int
	restart     string
	logDriver   string
	logOpts     []string
}

func (f *lifecycleFlags) add(fs *pflag.FlagSet) {
	fs.BoolVar(&f.remove, "rm", false, "remove the sandbox when the program has ended")
	fs.StringVar(&f.stopSignal, "stop-signal", "", "`SIGNAL` that stop sends (default: the image's, or TERM)")
	fs.IntVar(&f.stopTimeout, "stop-timeout", 10, "`SECONDS` until stop kills; -1: never")
	fs.StringVar(&f.restart, "restart", "no", restartUsage)
	fs.StringVar(&f.logDriver, "log-driver", "k8s-file", "`k8s-file` is the only driver so far")
	fs.Var((*list)(&f.logOpts), "log-opt", "`max-size=SIZE` of a log file, max-file=N of them")
}

func (f *lifecycleFlags) lifecycle(fs *pflag.FlagSet) (api.Lifecycle, error) {
	l := api.Lifecycle{AutoRemove: f.remove}
	var err error
	if l.StopSignal, err = signalFlag("--stop-signal", f.stopSignal); err != nil {
		return l, err
	}
	if fs.Changed("stop-timeout") {
		if l.StopTimeout, err = timeout("--stop-timeout", f.stopTimeout); err != nil {
			return l, err
		}
	}
	if l.Restart, err = restartPolicy(f.restart); err != nil {
		return l, err
	}
	if l.AutoRemove && !l.Restart.None() {
		return l, &flagError{"conflicting options: cannot specify both --restart and --rm"}
	}
	if f.logDriver != "k8s-file" {
		return l, &flagError{"--log-driver " + quote(f.logDriver) + " is not supported yet: sbx keeps logs in k8s-file format only"}
	}
	l.LogOpts, err = logOpts(f.logOpts)
	return l, err
}

// timeout checks seconds; -1 waits for ever.
func timeout(flag string, seconds int) (*int, error) {
	if seconds < -1 {
		return nil, invalid(flag, strconv.Itoa(seconds), "expected seconds, or -1 to wait for ever")
	}
	return &seconds, nil
}

// logOpts checks --log-opt by the rules of the one that will write the log.
func logOpts(list []string) (map[string]string, error) {
	if len(list) == 0 {
		return nil, nil
	}
	opts := map[string]string{}
	for _, opt := range list {
		key, value, ok := strings.Cut(opt, "=")
		switch {
		case !ok:
			return nil, invalid("--log-opt", opt, "expected max-size=SIZE or max-file=N")
		case key != "max-size" && key != "max-file":
			return nil, &flagError{"--log-opt " + quote(key) + " is not supported yet: sbx knows max-size and max-file"}
		}
		opts[key] = value
	}
	if _, err := logfile.ParseOptions(opts); err != nil {
		return nil, &flagError{err.Error()}
	}
	return opts, nil
}
