package main

import (
	"os"
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

func newStats() command {
	var o api.Stats
	return command{
		name: "stats", group: groupFacts, args: "[SANDBOX...]", max: -1, names: wantSandboxes,
		short: "show what sandboxes use, every second",
		examples: `sbx stats
sbx stats --no-stream --format '{{.Name}} {{.MemUsage}}' web
sbx stats --format json | jq .CPUPerc`,
		flags: func(f *pflag.FlagSet) {
			f.BoolVarP(&o.All, "all", "a", false, "also those that do not run")
			f.BoolVar(&o.NoStream, "no-stream", false, "once only")
			f.BoolVar(&o.NoTrunc, "no-trunc", false, "do not shorten")
			f.StringVar(&o.Format, "format", "", "`table|json|table TEMPLATE|TEMPLATE`")
		},
		run: func(s streams, args []string) error {
			o.Names = args
			term := os.Getenv("TERM")
			if o.NoStream || o.Format == "json" || term == "" || term == "dumb" || !isTerminal(s.out) {
				_, err := ask(s, api.VerbStats, o)
				return err
			}
			return statsScreen(s, o)
		},
	}
}

// statsScreen shows each text of the answer in the place of the last. No mode of
// the terminal is changed, so that a signal may end us at any time.
func statsScreen(s streams, o api.Stats) error {
	conn, err := request(api.VerbStats, o)
	if err != nil {
		return err
	}
	defer conn.Close()
	clear := "\x1b[2J"
	for {
		p, err := conn.Recv()
		if err != nil {
			return lost(err)
		}
		p.CloseFiles()
		switch p.Kind {
		case api.KindOut:
			var text api.Text
			if err := p.Decode(&text); err != nil {
				return err
			}
			width, height := (&progress{w: s.out}).size()
			if _, err := s.out.WriteString(clear + redraw(text.Text, width, height)); err != nil {
				return err
			}
			clear = ""
		case api.KindErr:
			if err := printText(s, p); err != nil {
				return err
			}
		case api.KindFault:
			return faultOf(p)
		case api.KindDone:
			return nil
		default:
			return api.Errorf("talk to the supervisor", "", "it answers with %q", p.Kind)
		}
	}
}

// redraw writes a text over what is there, from the first line on, as much of it
// as can be seen: a terminal that scrolls would keep every line.
func redraw(text string, width, height int) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	var b strings.Builder
	b.WriteString("\x1b[H")
	for _, line := range lines[:min(len(lines), height-1)] {
		// A template may have brought escape sequences, which have no width.
		if r := []rune(line); len(r) >= width && !strings.Contains(line, "\x1b") {
			line = string(r[:width-1])
		}
		b.WriteString(line + "\x1b[K\n")
	}
	b.WriteString("\x1b[J")
	return b.String()
}
