package units

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sbx/api"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
	}
}

const exe = "/opt/my tools/sbx"

func TestQuadlet(t *testing.T) {
	for _, name := range []string{"web", "small"} {
		text, err := os.ReadFile(filepath.Join("testdata", name+".container"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := ForQuadlet(name+".container", string(text), exe)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, got)
	}
}

// What cannot be honoured is named with its line, and nothing is left out.
func TestQuadletRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"[Container]\nImage=a\nAnnotation=a=b":    "line 3, Annotation=: use Label=",
		"[Container]\nImage=a\n\nNoSuch=1":        "line 4, NoSuch=: there is no such key",
		"[Container]\nImage=a\nReadOnly=perhaps":  "line 3, ReadOnly=",
		"[Container]\nImage=a\nEnvironment='x":    "a quotation mark",
		"[Container]\nImage=a\nNetwork=a.network": "sbx network create",
		"[Container]\nImage=a\nGroup=3":           "Group= without User=",
		"[Container]\nExec=x":                     "no [Container] with an Image=",
		"Image=a":                                 "line 1",
		"[Container]\nImage=a\\":                  "backslash",
		"[Kube]\nYaml=x":                          "Image=",
	} {
		if got, err := ForQuadlet("a.container", text, exe); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q\n%s", text, err, want, got)
		}
	}
}

func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		``:                      nil,
		`a  b`:                  {"a", "b"},
		`"a b" c'd e'`:          {"a b", "cd e"},
		`"" x`:                  {"", "x"},
		`a\ b "q\"q" 'no\esc'`:  {"a b", `q"q`, `no\esc`},
		`FOO="bar baz" X=1\n\t`: {"FOO=bar baz", "X=1\n\t"},
	} {
		if got, ok := words(text); !ok || !slices.Equal(got, want) {
			t.Errorf("%q: %q %t, want %q", text, got, ok, want)
		}
	}
	for _, text := range []string{`"a`, `'a`, `a\`} {
		if got, ok := words(text); ok {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// What quote writes is what words reads: systemd's own rules are the same.
func FuzzQuote(f *testing.F) {
	for _, seed := range []string{"", "a b", `"'\`, "a\nb\tc", "$HOME", ";"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if strings.ContainsRune(word, '�') || strings.Contains(word, "\x00") {
			t.Skip() // no argument of a program, or no UTF-8
		}
		got, ok := words(strings.ReplaceAll(quote(word), "$$", "$"))
		if !ok || len(got) != 1 || got[0] != word {
			t.Errorf("%q: %q is read as %q", word, quote(word), got)
		}
	})
}

func TestSandbox(t *testing.T) {
	thirty := 30
	c := api.Config{ID: strings.Repeat("ab", 32)}
	c.Name, c.Lifecycle.StopTimeout = "web", &thirty
	got, err := ForSandbox(&c, Options{Exe: exe})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "sandbox", got)
	golden(t, "supervisor", ForSupervisor("/usr/bin/sbx"))
	if _, err := ForSandbox(&c, Options{Exe: exe, Restart: "never"}); err == nil {
		t.Error("a policy that systemd does not know")
	}
	c.Lifecycle.Restart.Name = api.RestartAlways
	if _, err := ForSandbox(&c, Options{Exe: exe}); err == nil {
		t.Error("a sandbox with a restart policy of its own")
	}
	c.Lifecycle.Restart.Name, c.Lifecycle.AutoRemove = "", true
	if _, err := ForSandbox(&c, Options{Exe: exe}); err == nil {
		t.Error("a sandbox that is removed at its end")
	}
}
