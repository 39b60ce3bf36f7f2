package view

import "testing"

func TestDiff(t *testing.T) {
	changes := func(yield func(byte, string) bool) {
		_ = yield('C', "/etc") && yield('D', "/etc/<x>") && yield('A', "/new\x1b[1m")
	}
	for format, want := range map[string]string{
		"":     "C /etc\nD /etc/<x>\nA /new\\x1b[1m\n",
		"json": "{\n     \"changed\": [\n          \"/etc\"\n     ],\n     \"added\": [\n          \"/new\\u001b[1m\"\n     ],\n     \"deleted\": [\n          \"/etc/<x>\"\n     ]\n}\n",
	} {
		if got, err := Diff(changes, format); err != nil || got != want {
			t.Errorf("format %q: %q, %v; want %q", format, got, err, want)
		}
	}
	for format, want := range map[string]string{"": "", "json": "{}\n"} {
		if got, err := Diff(func(func(byte, string) bool) {}, format); err != nil || got != want {
			t.Errorf("nothing in format %q: %q, %v", format, got, err)
		}
	}
	if _, err := Diff(changes, "{{.}}"); err == nil {
		t.Error("a template is taken")
	}
}
