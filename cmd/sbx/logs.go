package main

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"sbx/api"
	"sbx/sandbox/logfile"
)

// logFlags are the flags of logs, as typed.
type logFlags struct {
	follow, timestamps bool
	since, until, tail string
}

func newLogs() command {
	var o logFlags
	return command{
		name: "logs", group: groupInside, args: "SANDBOX", min: 1, max: 1, names: wantSandbox,
		short: "show what a sandbox has printed",
		examples: `sbx logs -f --tail 20 web
sbx logs --since 10m -t web`,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.follow, "follow", "f", false, "go on until the sandbox ends")
			f.StringVar(&o.since, "since", "", "from a `TIME` on: 2026-01-02T15:04:05Z, seconds since 1970, or 10m ago")
			f.StringVar(&o.until, "until", "", "up to a `TIME`")
			f.StringVarP(&o.tail, "tail", "n", "all", "the last `N` lines")
			f.BoolVarP(&o.timestamps, "timestamps", "t", false, "show when each line was printed")
		},
		run: func(s streams, args []string) error { return logs(s, o, args[0]) },
	}
}

func logs(s streams, o logFlags, name string) error {
	opts, err := o.options(time.Now())
	if err != nil {
		return err
	}
	log, err := findLog(s, name)
	if err != nil {
		return err
	}
	if log.Direct {
		return api.Errorf("logs", name, "its output goes straight to whoever runs it, so none is kept").
			WithHint("run it without --rm, or with -d")
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var done chan struct{}
	opts.Follow = o.follow && log.Running
	if opts.Follow {
		done = make(chan struct{})
		go awaitEnd(ctx, log.ID, done)
	}
	return logfile.Read(ctx, log.Dir, opts, s.out, s.err, done)
}

func (o logFlags) options(now time.Time) (logfile.ReadOptions, error) {
	opts := logfile.ReadOptions{Tail: -1, Timestamps: o.timestamps}
	var err error
	if o.since != "" {
		if opts.Since, err = logfile.ParseTime(o.since, now); err != nil {
			return opts, invalid("--since", o.since, err.Error())
		}
	}
	if o.until != "" {
		if opts.Until, err = logfile.ParseTime(o.until, now); err != nil {
			return opts, invalid("--until", o.until, err.Error())
		}
	}
	if o.tail != "all" {
		if opts.Tail, err = strconv.Atoi(o.tail); err != nil {
			return opts, invalid("--tail", o.tail, "expected a number of lines, or all")
		}
	}
	return opts, nil
}

// findLog asks where the log is; it is read from here, not by the supervisor.
func findLog(s streams, name string) (api.Log, error) {
	var log api.Log
	conn, err := request(api.VerbLogs, api.Name{Name: name})
	if err != nil {
		return log, err
	}
	defer conn.Close()
	for {
		p, err := conn.Recv()
		if err != nil {
			return log, lost(err)
		}
		p.CloseFiles()
		switch p.Kind {
		case api.KindFault:
			return log, faultOf(p)
		case api.KindOut, api.KindErr:
			if err := printText(s, p); err != nil {
				return log, err
			}
		default:
			if err := p.Decode(&log); err != nil {
				return log, err
			}
			if log.Dir == "" {
				return log, api.Errorf("logs", name, "the supervisor does not say where its log is")
			}
			return log, nil
		}
	}
}

// awaitEnd closes done when the sandbox has ended for good. A supervisor that goes away
// meanwhile says nothing about the sandbox: its successor is asked.
func awaitEnd(ctx context.Context, id string, done chan<- struct{}) {
	defer close(done)
	for ctx.Err() == nil {
		conn, err := request(api.VerbWait, api.Wait{Names: []string{id}, Condition: api.WaitOver})
		if err != nil {
			return
		}
		_, err = collectFrom(conn)
		conn.Close()
		if !isLost(err) {
			return
		}
	}
}
