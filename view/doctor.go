package view

import (
	"fmt"
	"strings"

	"sbx/api"
)

// Doctor is what sbx doctor prints: text, in colour for a terminal that shows it, or
// JSON for the format "json".
func Doctor(findings []api.Finding, format string, colour bool) (string, error) {
	switch format {
	case "json":
		if findings == nil {
			findings = []api.Finding{}
		}
		return encode(findings, "  ")
	case "", "text":
	default:
		return "", api.Errorf("doctor", "--format "+Safe(format), "doctor has no templates").WithHint("formats are text and json")
	}
	width := 0
	for _, f := range findings {
		width = max(width, len(f.Name))
	}
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s%-6s%s  %-*s  %s\n", paint(f.Level, colour), f.Level, unpaint(colour), width, Safe(f.Name), Safe(f.What))
		if f.Level == api.Green {
			continue
		}
		for _, more := range [][2]string{{"lost", f.Lost}, {"fix", f.Text}} {
			if more[1] != "" {
				fmt.Fprintf(&b, "        %-*s  %s: %s\n", width, "", more[0], Safe(more[1]))
			}
		}
	}
	b.WriteString("\n" + summary(findings))
	return b.String(), nil
}

// paint and unpaint are ECMA-48 colours.
func paint(level api.Level, colour bool) string {
	if !colour {
		return ""
	}
	return map[api.Level]string{api.Green: "\x1b[32m", api.Yellow: "\x1b[33m", api.Red: "\x1b[31m"}[level]
}

func unpaint(colour bool) string {
	if !colour {
		return ""
	}
	return "\x1b[0m"
}

func summary(findings []api.Finding) string {
	count := map[api.Level]int{}
	root := 0
	for _, f := range findings {
		count[f.Level]++
		if f.Level != api.Green && f.Root != "" {
			root++
		}
	}
	text := "everything that sbx needs is here"
	switch {
	case count[api.Red] > 0:
		text = "sbx does not work here, or not all of it"
	case count[api.Yellow] > 0:
		text = "sbx works here; what is yellow is worth having"
	}
	if root > 0 {
		text += "; for the administrator: sbx doctor --fix >fix.sh"
	}
	return text + "\n"
}

// DoctorScript is what an administrator can run to get for a user what is missing: it
// does what the findings have for root, each with the reason, and lists the rest.
func DoctorScript(findings []api.Finding, user string) string {
	var b strings.Builder
	b.WriteString("#!/bin/sh\n# For the administrator: what sbx lacks on this machine for " + Safe(user) + ".\n" +
		"# Made by sbx doctor --fix, which has changed nothing. Read it, then run it as root.\n" +
		"set -eu\n")
	done := map[string]bool{}
	for _, f := range findings {
		if f.Level == api.Green || f.Root == "" || done[f.Root] {
			continue
		}
		done[f.Root] = true
		fmt.Fprintf(&b, "\n# %s: %s\n", Safe(f.Name), Safe(f.What))
		if f.Lost != "" {
			fmt.Fprintf(&b, "# lost: %s\n", Safe(f.Lost))
		}
		b.WriteString(f.Root + "\n")
	}
	if len(done) == 0 {
		b.WriteString("\n# Nothing is missing that takes root.\n")
	}
	for _, f := range findings {
		if f.Level != api.Green && f.Root == "" && f.Text != "" {
			fmt.Fprintf(&b, "\n# Not done here: %s: %s\n#   %s\n", Safe(f.Name), Safe(f.What), Safe(f.Text))
		}
	}
	return b.String()
}
