package view

import (
	"os/exec"
	"strings"
	"testing"

	"sbx/api"
)

var examined = []api.Finding{
	{Name: "user namespaces", Level: api.Green, What: "can be made"},
	{Name: "overlay", Level: api.Red, What: "mount overlay /x\x1b[2J: no such device", Lost: "no images", Remedy: api.Remedy{Text: "as root: modprobe overlay", Root: "modprobe overlay\necho overlay >/etc/modules-load.d/sbx.conf"}},
	{Name: "lingering", Level: api.Yellow, What: "ends\nwith you", Lost: "all", Remedy: api.Remedy{Text: "loginctl enable-linger me"}},
	{Name: "overlay again", Level: api.Yellow, What: "x", Lost: "y", Remedy: api.Remedy{Text: "as root: modprobe overlay", Root: "modprobe overlay\necho overlay >/etc/modules-load.d/sbx.conf"}},
	{Name: "fine", Level: api.Green, What: "fine", Remedy: api.Remedy{Text: "nothing", Root: "reboot"}},
}

func TestDoctor(t *testing.T) {
	got, err := Doctor(examined[:3], "", false)
	want := `green   user namespaces  can be made
red     overlay          mount overlay /x\x1b[2J: no such device
                         lost: no images
                         fix: as root: modprobe overlay
yellow  lingering        ends\nwith you
                         lost: all
                         fix: loginctl enable-linger me

sbx does not work here, or not all of it; for the administrator: sbx doctor --fix >fix.sh
`
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	if got, err := Doctor(examined[:1], "text", true); err != nil || !strings.HasPrefix(got, "\x1b[32mgreen \x1b[0m") || !strings.HasSuffix(got, "\neverything that sbx needs is here\n") {
		t.Errorf("%v %q", err, got)
	}
	got, err = Doctor(examined[1:2], "json", true)
	want = `[
  {
    "name": "overlay",
    "level": "red",
    "what": "mount overlay /x\u001b[2J: no such device",
    "lost": "no images",
    "fix": "as root: modprobe overlay",
    "root": "modprobe overlay\necho overlay >/etc/modules-load.d/sbx.conf"
  }
]`
	if err != nil || got != want {
		t.Errorf("%v\n%s", err, got)
	}
	if got, err := Doctor(nil, "json", false); err != nil || got != "[]" {
		t.Errorf("%v %q", err, got)
	}
	if _, err := Doctor(nil, "{{.Name}}", false); err == nil {
		t.Error("a template is taken")
	}
}

// Nothing that was found out becomes a command: only the remedies do, each once.
func TestDoctorScript(t *testing.T) {
	got := DoctorScript(examined, "me; reboot\n")
	var commands []string
	for line := range strings.Lines(got) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			commands = append(commands, line)
		}
	}
	if want := "set -eu|modprobe overlay|echo overlay >/etc/modules-load.d/sbx.conf"; strings.Join(commands, "|") != want {
		t.Errorf("%q", commands)
	}
	if !strings.Contains(got, "# Not done here: lingering: ends\\nwith you\n#   loginctl enable-linger me\n") {
		t.Errorf("%s", got)
	}
	c := exec.Command("sh", "-n")
	c.Stdin = strings.NewReader(got)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if empty := DoctorScript(examined[:1], "me"); !strings.Contains(empty, "Nothing is missing") {
		t.Errorf("%s", empty)
	}
}
