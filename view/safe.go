package view

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Safe makes s fit to be shown on a terminal: everything that does not print is
// written as strconv.Quote would write it, without the quotes. That covers C0
// controls, ESC, DEL, the C1 controls (also as UTF-8), bidirectional overrides,
// zero-width characters and bytes that are not UTF-8. CVE-2023-28101.
//
// The result is one line of valid UTF-8, and Safe(Safe(s)) == Safe(s).
func Safe(s string) string { return escape(s, "") }

// SafeLines is Safe for text that may have lines and columns of its own.
func SafeLines(s string) string { return escape(s, "\n\t") }

func escape(s, keep string) string {
	if clean(s, keep) {
		return s
	}
	var b strings.Builder
	for i, width := 0, 0; i < len(s); i += width {
		var r rune
		r, width = utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && width == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r) || strings.ContainsRune(keep, r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

func clean(s, keep string) bool {
	for _, r := range s {
		// RuneError itself prints: it may stand for a bad byte.
		if r == utf8.RuneError || !strconv.IsPrint(r) && !strings.ContainsRune(keep, r) {
			return false
		}
	}
	return true
}
