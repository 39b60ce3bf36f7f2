package view

import (
	"slices"
	"strings"
	"testing"
)

func logLines(pieces ...string) []string {
	var t logText
	var lines []string
	for _, p := range pieces {
		lines = append(lines, t.add([]byte(p))...)
	}
	return append(lines, t.rest()...)
}

func TestLogText(t *testing.T) {
	for in, want := range map[string][]string{
		"":                               nil,
		"a\nb":                           {"a", "b"},
		"a\r\nb\r\n":                     {"a", "b"},
		"\n\n":                           {"", ""},
		" 1%\r 50%\r100%\n":              {"100%"},
		"gone\r":                         {"gone"},
		"a\tb\n":                         {"a       b"},
		"漢\tb\n":                         {"漢      b"},
		"ab\b\bc\n":                      {"c"},
		"\b\n":                           {""},
		"\x1b[1;32mgreen\x1b[0m\x1b[K\n": {"green"},
		"\x1b]0;a title\x07text\n":       {"text"},
		"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\n": {"link"},
		"\x1bPq#0;2;0\x1b\\text\n":                   {"text"},
		"\x1b(Btext\x1b7\x1b8\x1bM\n":                {"text"},
		"\x1b]never ends\nnext\n":                    {"", "next"},
		"\x1b[12\nnext\n":                            {"", "next"},
		"\u009b31mtext\n":                            {`\u009b31mtext`},
		"\xff\xfe\n":                                 {`\xff\xfe`},
		"\x00\x07a\x01\x7f\n":                        {`a\x01\x7f`},
		"a\u202eb\n":                                 {`a\u202eb`},
		"half \xe6\xbc":                              {`half \xe6\xbc`},
	} {
		if got := logLines(in); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
		if got := logLines(strings.Split(in, "")...); !slices.Equal(got, want) {
			t.Errorf("%q, a character at a time: got %q, want %q", in, got, want)
		}
	}
	long := logLines(strings.Repeat("x", 3*longestLog))
	if len(long) != 3 || len(strings.Join(long, "")) != 3*longestLog {
		t.Errorf("a long line is %d lines", len(long))
	}
}

// FuzzLogText: whatever a program writes, in whatever pieces, its lines are the same
// and safe for a terminal.
func FuzzLogText(f *testing.F) {
	f.Add("\x1b[31mred\x1b[0m\r\n漢字\x1b]0;t\x07", 3)
	f.Add("a\xe6\x1b\b\t\r", 1)
	f.Fuzz(func(t *testing.T, in string, at int) {
		lines := logLines(in)
		for _, l := range lines {
			if Safe(l) != l || strings.ContainsAny(l, "\n\t") {
				t.Errorf("%q gives %q", in, l)
			}
		}
		at = min(max(at, 0), len(in))
		if halves := logLines(in[:at], in[at:]); !slices.Equal(halves, lines) {
			t.Errorf("%q in two gives %q, not %q", in, halves, lines)
		}
	})
}

func TestColumns(t *testing.T) {
	for text, want := range map[string]int{"": 0, "abc": 3, "漢字": 4, "é": 1, "e\u0301": 1, "🙂": 2, "ｱ": 1, "─": 1} {
		if got := columns(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
	for _, c := range []struct {
		text string
		n    int
		want string
	}{{"abc", 2, "ab"}, {"abc", 5, "abc  "}, {"漢字", 3, "漢 "}, {"漢字", 0, ""}, {"e\u0301x", 1, "e\u0301"}} {
		if got := fit(c.text, c.n); got != c.want {
			t.Errorf("fit(%q, %d) = %q, want %q", c.text, c.n, got, c.want)
		}
	}
}
