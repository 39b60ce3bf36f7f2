package main

import (
	"strconv"
	"time"

	"github.com/spf13/pflag"

	"sbx/api"
)

func newEvents() command {
	var o api.Events
	return command{
		name: "events", group: groupInside, names: wantNothing,
		short: "follow what happens to sandboxes, images and networks",
		examples: `sbx events --filter container=web --filter event=die
sbx events --since 1h --until 0s --format json`,
		flags: func(f *pflag.FlagSet) {
			f.VarP((*list)(&o.Filters), "filter", "f", "`KEY=VALUE`: container, event, image, label, network, scope, type, volume")
			f.StringVar(&o.Format, "format", "", "json or a Go `TEMPLATE`")
			f.StringVar(&o.Since, "since", "", "from a `TIME` on: 2026-01-02T15:04:05Z, seconds since 1970, or 10m ago")
			f.StringVar(&o.Until, "until", "", "up to a `TIME`")
		},
		run: func(s streams, _ []string) error {
			if err := checkFilters(o.Filters); err != nil {
				return err
			}
			return followEvents(s, o)
		},
	}
}

// followEvents asks for events. A supervisor that dies is started again at once: the
// next one is asked for what comes after it.
func followEvents(s streams, o api.Events) error {
	for {
		_, err := ask(s, api.VerbEvents, o)
		if !isLost(err) {
			return err
		}
		o.Since = strconv.FormatInt(time.Now().Unix(), 10)
	}
}
