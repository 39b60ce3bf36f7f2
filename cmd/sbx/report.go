package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"sbx/api"
)

// report prints an error and gives the exit status for it: the one place that
// maps the one to the other.
func report(s streams, c command, err error) int {
	if err == nil {
		return 0
	}
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	prefix := "sbx: "
	var usage usageError
	var flag *flagError
	wrong := errors.As(err, &usage)
	if c.name != "" && (wrong || errors.As(err, &flag)) {
		prefix += c.name + ": "
	}
	// Nothing is left to tell a standard error that cannot be written to.
	fmt.Fprintln(s.err, prefix+printable(err.Error()))
	if wrong {
		fmt.Fprintln(s.err, "See '"+strings.TrimSuffix("sbx "+c.name, " ")+" --help'.")
	}
	return statusOf(c, err)
}

func statusOf(c command, err error) int {
	var e *api.Error
	var f *faultError
	var flag *flagError
	switch {
	case errors.As(err, &e) && e.Code != 0:
		return e.Code
	case errors.As(err, &f):
		return f.code
	case errors.As(err, &flag):
		return api.ExitFault
	case c.fault != 0:
		return c.fault
	}
	return 1
}

// printable makes one line of any text: what could drive a terminal (control
// characters, C1 ones and bidirectional overrides included) is spelled out.
// CVE-2023-28101 is what happens otherwise.
func printable(text string) string {
	clean := true
	for _, r := range text {
		if !harmless(r) {
			clean = false
			break
		}
	}
	if clean {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case harmless(r):
			b.WriteString(text[:n])
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case r == '\n':
			b.WriteString(`\n`)
		case r < 0x80:
			fmt.Fprintf(&b, `\x%02x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		text = text[n:]
	}
	return b.String()
}

func harmless(r rune) bool {
	return r != utf8.RuneError && (unicode.IsPrint(r) || r == ' ')
}
