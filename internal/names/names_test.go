package names

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sbx/api"
)

// TestThreat49Names: a name is no path, no flag and no terminal sequence.
func TestThreat49Names(t *testing.T) {
	for _, name := range []string{
		"", "a", ".", "..", "../x", "a/b", "/ab", "a/../b", "-rf", "--name", "_ab", ".ab", "a b", "ab\n", "ab\x00",
		"a\x1b[31m", "ab\u202e", "a\u00e9", "a\xff", "a:b", "a@b", "a\\b", "a*", "$(id)", "a,b", "a=b", "%s",
		strings.Repeat("x", longest+1),
	} {
		err := Valid(name)
		var e *api.Error
		if !errors.As(err, &e) {
			t.Errorf("Valid(%q) = %v, want an *api.Error", name, err)
			continue
		}
		if msg := e.Error(); strings.ContainsFunc(msg, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("Valid(%q): the message has the characters that it refuses: %q", name, msg)
		}
		if len(e.Error()) > 2*longest+100 {
			t.Errorf("Valid of %d bytes: a message of %d bytes", len(name), len(e.Error()))
		}
		if !strings.Contains(e.Hint, "[a-zA-Z0-9][a-zA-Z0-9_.-]+") {
			t.Errorf("Valid(%q): the hint %q does not name the rule", name, e.Hint)
		}
	}
}

func TestValid(t *testing.T) {
	for _, name := range []string{"ab", "A1", "0x", "web-1", "a..", "a_b.c-d", "9_", strings.Repeat("x", longest)} {
		if err := Valid(name); err != nil {
			t.Errorf("Valid(%q) = %v", name, err)
		}
	}
}

func FuzzValid(f *testing.F) {
	for _, s := range []string{"ab", "../x", "a\n", "", "é"} {
		f.Add(s)
	}
	docker := regexp.MustCompile(`\A[a-zA-Z0-9][a-zA-Z0-9_.-]+\z`)
	f.Fuzz(func(t *testing.T, s string) {
		want := docker.MatchString(s) && len(s) <= longest
		if got := Valid(s) == nil; got != want {
			t.Errorf("Valid(%q): %v, want %v", s, got, want)
		}
	})
}

func TestWords(t *testing.T) {
	for what, words := range map[string][]string{"adjectives": adjectives(), "nouns": nouns()} {
		least := map[string]int{"adjectives": 100, "nouns": 150}[what]
		if len(words) < least {
			t.Errorf("%d %s, want at least %d", len(words), what, least)
		}
		for i, w := range words {
			if strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") != "" || len(w) < 3 {
				t.Errorf("%s: %q is not a word", what, w)
			}
			if slices.Contains(words[:i], w) {
				t.Errorf("%s: %q is there twice", what, w)
			}
		}
	}
}

func TestRandom(t *testing.T) {
	seen := map[string]bool{}
	for range 5000 {
		name := Random(func(s string) bool { return seen[s] })
		if seen[name] {
			t.Fatalf("%q was taken", name)
		}
		if err := Valid(name); err != nil {
			t.Fatal(err)
		}
		seen[name] = true
	}
}

// TestRandomAllTaken: it ends, with a name that two callers do not share.
func TestRandomAllTaken(t *testing.T) {
	asked := 0
	all := func(string) bool { asked++; return true }
	a, b := Random(all), Random(all)
	if a == b || Valid(a) != nil {
		t.Errorf("Random with every name taken: %q, %q", a, b)
	}
	if asked == 0 {
		t.Error("Random did not ask")
	}
}

// TestRandomPairsTaken: with all plain pairs taken there are numbers.
func TestRandomPairsTaken(t *testing.T) {
	name := Random(func(s string) bool { return !strings.ContainsAny(s, "0123456789") })
	if !regexp.MustCompile(`^[a-z]+_[a-z]+[0-9]+$`).MatchString(name) {
		t.Errorf("Random with all plain pairs taken: %q", name)
	}
}
