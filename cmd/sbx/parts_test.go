package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDetacher(t *testing.T) {
	for _, test := range []struct {
		keys   string
		typed  []string // separate reads
		pass   string
		detach bool
	}{
		{"", []string{"abc"}, "abc", false},
		{"", []string{"a\x10\x11b"}, "a", true},
		{"", []string{"a\x10", "\x11"}, "a", true},
		{"", []string{"\x10x"}, "\x10x", false},
		{"", []string{"\x10\x10\x11"}, "\x10", true},
		{"", []string{"\x11\x10"}, "\x11", false},
		{"a,a,b", []string{"aaab"}, "a", true},
		{"a,b,a,c", []string{"ababac"}, "ab", true},
		{"ctrl-[", []string{"x\x1by"}, "x", true},
		{"DEL", []string{"\x7f"}, "", true},
	} {
		keys, err := parseKeys(test.keys)
		if err != nil {
			t.Fatal(err)
		}
		d := detacher{keys: keys}
		var pass []byte
		detach := false
		for _, typed := range test.typed {
			var p []byte
			p, detach = d.feed([]byte(typed))
			pass = append(pass, p...)
		}
		if string(pass) != test.pass || detach != test.detach {
			t.Errorf("%q typed %q: passed %q, detach %t; want %q, %t", test.keys, test.typed, pass, detach, test.pass, test.detach)
		}
	}
}

// TestThreat28Escapes: nothing printed in an error can drive a terminal.
func TestThreat28Escapes(t *testing.T) {
	for text, want := range map[string]string{
		"plain: é 漢":         "plain: é 漢",
		"\x1b[31mred\x07":    `\x1b[31mred\x07`,
		"two\nlines\tand\r":  `two\nlines\x09and\x0d`,
		"c1 \u009b31m":       `c1 \u009b31m`,
		"bidi \u202etxt.exe": `bidi \u202etxt.exe`,
		"raw \x9b \xff":      `raw \x9b \xff`,
	} {
		if got := printable(text); got != want {
			t.Errorf("printable(%q) = %q, want %q", text, got, want)
		}
	}
	h := newHome(t)
	got := h.sbx("run", "--name", "\x1b]0;owned\x07", "img")
	if strings.ContainsAny(got.err, "\x1b\x07") || got.code != 125 {
		t.Errorf("status %d, error %q", got.code, got.err)
	}
}

func TestSupervisorEnv(t *testing.T) {
	got := supervisorEnv([]string{"HOME=/h", "AWS_SECRET_ACCESS_KEY=x", "SSH_AUTH_SOCK=/s", "XDG_DATA_HOME=/d",
		"SBX_RUN=/r", "PATH=/bin", "LD_PRELOAD=/x.so", "DBUS_SESSION_BUS_ADDRESS=unix:", "TERM=xterm"})
	want := []string{"HOME=/h", "XDG_DATA_HOME=/d", "SBX_RUN=/r", "PATH=/bin", "DBUS_SESSION_BUS_ADDRESS=unix:"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "4096": 4096, "1k": 1024, "64m": 64 << 20, "64MB": 64 << 20, "1.5g": 3 << 29, "1GiB": 1 << 30, "2 k": 2048,
	} {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("parseBytes(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "m", "-1", "1x", "1kk", "99999999p", "1 2"} {
		if got, err := parseBytes(text); err == nil {
			t.Errorf("parseBytes(%q) = %d, want an error", text, got)
		}
	}
}

func TestProgressLine(t *testing.T) {
	if got, want := progressLine(120e6, 300e6, 2*time.Second), "importing 120 MB / 300 MB  60 MB/s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestHelp: each command explains itself without a supervisor, and every flag of
// it says what it does.
func TestHelp(t *testing.T) {
	h := newHome(t)
	for _, construct := range constructors() {
		c := construct()
		name := c.name
		if c.group == groupHidden {
			continue
		}
		got := h.sbx(append(strings.Fields(name), "--help")...)
		if got.code != 0 || !strings.HasPrefix(got.out, "Usage: sbx "+name) || got.err != "" {
			t.Errorf("%s --help: %+v", name, got)
		}
		if same := h.sbx(append([]string{"help"}, strings.Fields(name)...)...); same != got {
			t.Errorf("help %s differs from %s --help", name, name)
		}
		for line := range strings.Lines(got.out) {
			if f := strings.TrimSpace(line); strings.HasPrefix(f, "-") && len(strings.Fields(f)) < 3 {
				t.Errorf("%s: %q explains nothing", name, f)
			}
		}
	}
	for _, args := range [][]string{nil, {"help"}, {"--help"}} {
		if got := h.sbx(args...); got.code != 0 || !strings.Contains(got.out, "\nSandboxes:\n  run ") {
			t.Errorf("%q: %+v", args, got)
		}
	}
	for _, group := range groupNames() {
		got := h.sbx(group)
		if got.code != 0 || got != h.sbx("help", group) || got != h.sbx(group, "--help") {
			t.Errorf("%s: %+v", group, got)
		}
		for _, word := range members(group) {
			if !strings.Contains(got.out, "\n  "+word+" ") {
				t.Errorf("%s does not explain %s", group, word)
			}
		}
	}
	h.sbx("--version").want(t, result{out: "sbx version 0.1.0-dev\n"})
}
