package view

import (
	"strings"
	"text/tabwriter"
)

// tabulate aligns lines whose cells are separated by tabs: columns are at least
// width characters wide, padding spaces stand between them.
func tabulate(text string, width, padding int) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, width, 1, padding, ' ', 0)
	// A strings.Builder takes every write: neither of these can fail.
	_, _ = w.Write([]byte(text))
	_ = w.Flush()
	return b.String()
}
