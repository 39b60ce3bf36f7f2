package image

import (
	"errors"
	"fmt"
	"strings"
)

// words splits the arguments of a Dockerfile instruction at white space, removes
// quotes and backslashes as a shell does, and puts in variables: $NAME and ${NAME}
// but in single quotes, never split again.
func words(line string, lookup func(string) string) ([]string, error) {
	var list []string
	l := lexer{rest: line, lookup: lookup}
	for {
		l.rest = strings.TrimLeft(l.rest, " \t")
		if l.rest == "" {
			return list, nil
		}
		word, err := l.word()
		if err != nil {
			return nil, err
		}
		list = append(list, word)
	}
}

type lexer struct {
	rest   string
	lookup func(string) string
}

// word reads up to the next white space that is not quoted.
func (l *lexer) word() (string, error) {
	var out strings.Builder
	for l.rest != "" {
		c := l.rest[0]
		l.rest = l.rest[1:]
		switch c {
		case ' ', '\t':
			return out.String(), nil
		case '\'':
			quoted, rest, ok := strings.Cut(l.rest, "'")
			if !ok {
				return "", errors.New("a ' is not closed")
			}
			out.WriteString(quoted)
			l.rest = rest
		case '"':
			if err := l.quoted(&out); err != nil {
				return "", err
			}
		case '\\':
			if l.rest == "" {
				return "", errors.New("a \\ at the end")
			}
			out.WriteByte(l.rest[0])
			l.rest = l.rest[1:]
		case '$':
			if err := l.variable(&out); err != nil {
				return "", err
			}
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), nil
}

// quoted reads the rest of a part in double quotes.
func (l *lexer) quoted(out *strings.Builder) error {
	for l.rest != "" {
		c := l.rest[0]
		l.rest = l.rest[1:]
		switch {
		case c == '"':
			return nil
		case c == '$':
			if err := l.variable(out); err != nil {
				return err
			}
		case c == '\\' && l.rest != "" && strings.IndexByte(`"$\`, l.rest[0]) >= 0:
			out.WriteByte(l.rest[0])
			l.rest = l.rest[1:]
		default:
			out.WriteByte(c)
		}
	}
	return errors.New("a \" is not closed")
}

// variable puts in the value of the variable whose name follows the dollar.
func (l *lexer) variable(out *strings.Builder) error {
	brace := strings.HasPrefix(l.rest, "{")
	if brace {
		l.rest = l.rest[1:]
	}
	n := 0
	for n < len(l.rest) && (isLetter(l.rest[n]) || n > 0 && '0' <= l.rest[n] && l.rest[n] <= '9') {
		n++
	}
	name := l.rest[:n]
	l.rest = l.rest[n:]
	switch {
	case brace && (name == "" || !strings.HasPrefix(l.rest, "}")):
		return fmt.Errorf("${%s: only ${NAME} is understood", name)
	case brace:
		l.rest = l.rest[1:]
	case name == "":
		out.WriteByte('$')
		return nil
	}
	out.WriteString(l.lookup(name))
	return nil
}

func isLetter(c byte) bool {
	return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}
