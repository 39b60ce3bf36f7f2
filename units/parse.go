package units

import (
	"strings"

	"sbx/api"
)

// section is a part of a unit file, with its lines in order.
type section struct {
	name  string
	lines []line
}

// line is KEY=VALUE, and where it stands.
type line struct {
	key, value string
	number     int
}

// parse reads a unit file as systemd.syntax(7) has it: comments, empty lines, lines
// that are continued by a backslash.
func parse(file, text string) ([]section, error) {
	var list []section
	var open string // a line that goes on
	start := 0
	for number, raw := range strings.Split(text, "\n") {
		raw = strings.TrimSpace(strings.TrimSuffix(raw, "\r"))
		if raw == "" || raw[0] == '#' || raw[0] == ';' {
			continue // also between the parts of a continued line
		}
		if open == "" {
			start = number + 1
		}
		if part, more := strings.CutSuffix(raw, `\`); more {
			open += part + " "
			continue
		}
		raw, open = open+raw, ""
		if name, is := strings.CutPrefix(raw, "["); is && strings.HasSuffix(name, "]") {
			list = append(list, section{name: strings.TrimSuffix(name, "]")})
			continue
		}
		key, value, ok := strings.Cut(raw, "=")
		if !ok || len(list) == 0 {
			return nil, api.Errorf("read", file, "line %d is neither [SECTION] nor KEY=VALUE below one", start)
		}
		last := &list[len(list)-1]
		last.lines = append(last.lines, line{strings.TrimSpace(key), strings.TrimSpace(value), start})
	}
	if open != "" {
		return nil, api.Errorf("read", file, "the last line ends with a backslash")
	}
	return list, nil
}

// words splits a value as systemd splits a command line: at blanks, with quotes of
// both kinds and backslashes. systemd.service(5), "Command lines".
func words(text string) ([]string, bool) {
	var list []string
	var word strings.Builder
	inside, quote := false, rune(0)
	escaped := false
	for _, r := range text {
		switch {
		case escaped:
			word.WriteString(unescape(r))
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inside = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '"' || r == '\'':
			quote, inside = r, true
		case r == ' ' || r == '\t':
			if inside {
				list = append(list, word.String())
			}
			word.Reset()
			inside = false
		default:
			word.WriteRune(r)
			inside = true
		}
	}
	if inside {
		list = append(list, word.String())
	}
	return list, quote == 0 && !escaped
}

func unescape(r rune) string {
	switch r {
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 's':
		return " "
	}
	return string(r)
}

// quote writes a word so that systemd reads it as one. Specifiers (%h) stay what
// they are; a dollar is none of systemd's variables.
func quote(word string) string {
	word = strings.ReplaceAll(word, "$", "$$")
	if word != "" && !strings.ContainsAny(word, " \t\n\"'\\;") {
		return word
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`).Replace(word) + `"`
}
