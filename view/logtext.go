package view

import (
	"strings"
	"unicode/utf8"
)

// logText makes whole lines of what a program writes for a terminal. What moves the
// cursor or sets colours is left out; a line that is written over and over is what
// was written last. The lines are safe for a terminal.
type logText struct {
	line    []byte   // what stands on it so far
	again   bool     // a carriage return came: the next character begins the line anew
	escape  sequence // where in a control sequence
	halfway []byte   // the beginning of a character whose end has not come
}

// sequence is how far a control sequence of ECMA-48 has come.
type sequence int

const (
	plainText sequence = iota
	afterESC           // what follows says which kind
	inCSI              // ESC [ ... up to a byte of 0x40 to 0x7e
	inString           // ESC ] ... up to BEL, or ESC \
	endString          // ESC within such a string
	oneLetter          // ESC ( and one more
)

// longestLog is how many bytes of a line are kept together.
const longestLog = 8 << 10

// add takes more text and gives the lines that it completes.
func (t *logText) add(data []byte) (lines []string) {
	if len(t.halfway) > 0 {
		data = append(t.halfway, data...)
		t.halfway = nil
	}
	for len(data) > 0 {
		if n := t.simple(data); n > 0 {
			t.put(data[:n])
			data = data[n:]
		} else if t.escape == plainText && data[0] >= utf8.RuneSelf {
			if !utf8.FullRune(data) {
				t.halfway = append([]byte(nil), data...)
				return lines
			}
			_, n := utf8.DecodeRune(data)
			t.put(data[:n])
			data = data[n:]
		} else {
			if t.control(data[0]) {
				lines = append(lines, t.take())
			}
			data = data[1:]
		}
		if len(t.line) > longestLog {
			lines = append(lines, t.take())
		}
	}
	return lines
}

// simple is how many characters come next that print and are a byte each.
func (t *logText) simple(data []byte) int {
	if t.escape != plainText {
		return 0
	}
	room := max(1, longestLog+1-len(t.line))
	for i, c := range data {
		if c < ' ' || c > '~' || i == room {
			return i
		}
	}
	return len(data)
}

// control takes one byte that is no part of a longer character, and says whether it
// ends the line.
func (t *logText) control(c byte) (ends bool) {
	switch t.escape {
	case afterESC:
		t.escape = afterEscape(c)
		return false
	case inCSI:
		if c >= 0x40 && c <= 0x7e || c == '\n' {
			t.escape = plainText
		}
		return c == '\n'
	case inString, endString:
		switch {
		case c == 0x07, t.escape == endString && c == '\\':
			t.escape = plainText
		case c == 0x1b:
			t.escape = endString
		case c == '\n':
			// No title of a window has lines: this was a sequence cut short.
			t.escape = plainText
			return true
		default:
			t.escape = inString
		}
		return false
	case oneLetter:
		t.escape = plainText
		return false
	}
	return t.plain(c)
}

// plain takes one byte outside of control sequences.
func (t *logText) plain(c byte) (ends bool) {
	switch c {
	case 0x1b:
		t.escape = afterESC
	case '\n':
		return true
	case '\r':
		t.again = true
	case '\b':
		_, n := utf8.DecodeLastRune(t.line)
		t.line = t.line[:len(t.line)-n]
	case '\t':
		t.put([]byte("        ")[columns(string(t.line))%8:])
	case 0x00, 0x07:
	default:
		t.put([]byte{c})
	}
	return false
}

func afterEscape(c byte) sequence {
	switch c {
	case '[':
		return inCSI
	case ']', 'P', 'X', '^', '_':
		return inString
	case '(', ')', '*', '+', '-', '.', '/', '#', '%', ' ':
		return oneLetter
	}
	return plainText
}

func (t *logText) put(text []byte) {
	if t.again {
		t.line, t.again = t.line[:0], false
	}
	t.line = append(t.line, text...)
}

// take gives the line and begins another.
func (t *logText) take() string {
	line := t.sofar()
	t.line, t.again = t.line[:0], false
	return line
}

// sofar is the line that has no end yet.
func (t *logText) sofar() string { return strings.TrimRight(Safe(string(t.line)), " ") }

// rest is the last line, if the program has not ended it.
func (t *logText) rest() []string {
	if len(t.halfway) > 0 {
		t.put(t.halfway)
	}
	t.halfway, t.escape = nil, plainText
	if len(t.line) == 0 {
		return nil
	}
	return []string{t.take()}
}
