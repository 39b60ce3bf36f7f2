package main

import "strings"

// splitCSV takes one line of comma separated values apart by the rules of RFC 4180,
// as encoding/csv reads it: a field may be quoted as a whole, with "" for a quote
// in it. That package would be 15 kB of the small binary.
func splitCSV(line string) (fields []string, ok bool) {
	if line == "" || strings.ContainsAny(line, "\r\n") {
		return nil, false
	}
	for {
		field, rest := line, ""
		more := false
		if quoted, is := strings.CutPrefix(line, `"`); is {
			if field, rest, ok = cutQuoted(quoted); !ok {
				return nil, false
			}
			if rest, more = strings.CutPrefix(rest, ","); !more && rest != "" {
				return nil, false
			}
		} else {
			field, rest, more = strings.Cut(line, ",")
			if strings.Contains(field, `"`) {
				return nil, false
			}
		}
		fields = append(fields, field)
		if !more {
			return fields, true
		}
		line = rest
	}
}

// cutQuoted gives the text before the closing quote, and what follows it.
func cutQuoted(text string) (field, rest string, ok bool) {
	for {
		part, after, closed := strings.Cut(text, `"`)
		if !closed {
			return "", "", false
		}
		field += part
		if text, ok = strings.CutPrefix(after, `"`); !ok {
			return field, after, true
		}
		field += `"`
	}
}
