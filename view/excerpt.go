package view

import (
	"fmt"
	"strings"
)

// LineRange are lines of a file, from 1, both included.
type LineRange struct{ Start, End int }

// BuildFault is where a build has failed.
type BuildFault struct {
	Step   int         // the step's id; -1: none
	File   string      // the Dockerfile's name
	Source []byte      // its text
	Ranges []LineRange // of the instruction; none: nothing is shown
}

// Excerpt shows lines of a file with some around them, as BuildKit does:
//
//	Dockerfile:2
//	--------------------
//	   1 |     FROM debian
//	   2 | >>> RUN false
//	   3 |     CMD ["sh"]
//	--------------------
//
// It is empty if there are no such lines.
func Excerpt(file string, source []byte, ranges []LineRange) string {
	lines := strings.Split(strings.TrimSuffix(string(source), "\n"), "\n")
	start, end := span(ranges)
	if start < 1 || start > len(lines) {
		return ""
	}
	end = min(end, len(lines))
	around := 1
	if start == end {
		around = 2
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d\n--------------------\n", Safe(file), start)
	for n := max(1, start-around); n <= min(len(lines), end+around); n++ {
		mark := "   "
		if within(ranges, n) {
			mark = ">>>"
		}
		text := strings.TrimRight(SafeLines(strings.TrimSuffix(lines[n-1], "\r")), " ")
		b.WriteString(strings.TrimRight(fmt.Sprintf(" %3d | %s %s", n, mark, text), " ") + "\n")
	}
	b.WriteString("--------------------\n")
	return b.String()
}

// span is from the first to the last line of all ranges.
func span(ranges []LineRange) (start, end int) {
	for _, r := range ranges {
		if start == 0 || r.Start < start {
			start = r.Start
		}
		end = max(end, r.Start, r.End)
	}
	return start, end
}

func within(ranges []LineRange, n int) bool {
	for _, r := range ranges {
		if r.Start <= n && n <= max(r.Start, r.End) {
			return true
		}
	}
	return false
}
