package view

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// columns is how many columns of a terminal a printable text takes.
func columns(text string) int {
	n := 0
	for _, r := range text {
		n += columnsOf(r)
	}
	return n
}

func columnsOf(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// fit cuts or pads a printable text to n columns.
func fit(text string, n int) string {
	text = clip(text, n)
	return text + strings.Repeat(" ", max(0, n-columns(text)))
}

// clip cuts a printable text to at most n columns.
func clip(text string, n int) string {
	at := 0
	for i, r := range text {
		if at += columnsOf(r); at > n {
			return text[:i]
		}
	}
	return text
}
