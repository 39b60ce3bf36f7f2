package userns

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

func TestPlan(t *testing.T) {
	const line = "alice:100000:65536\n"
	full := Host{UID: 1000, Name: "alice", Subuid: line, Subgid: line}
	for name, c := range map[string]struct {
		change func(*Host)
		want   Source
		reason string // part of the error; empty: none
	}{
		"files":         {func(*Host) {}, Static, ""},
		"no new privs":  {func(h *Host) { h.NoNewPrivileges = true }, Single, "no_new_privs"},
		"no helper":     {func(h *Host) { h.Newuidmap = os.ErrNotExist }, Single, "uidmap"},
		"no subuid":     {func(h *Host) { h.Subuid = "" }, Single, "/etc/subuid has no range for alice"},
		"no subgid":     {func(h *Host) { h.Subgid = "" }, Single, "/etc/subgid has no range for alice"},
		"remedy":        {func(h *Host) { h.Subuid = "" }, Single, "as root: echo alice:165536:65536 | tee -a /etc/subuid"},
		"both":          {func(h *Host) { h.Subuid, h.Subgid = "bob:100000:65536\n", "" }, Single, "as root: echo alice:165536:65536 | tee -a /etc/subuid /etc/subgid"},
		"odd name":      {func(h *Host) { h.Name, h.Subuid, h.Subgid = `CORP\al`, "", "" }, Single, "echo 1000:100000:65536 |"},
		"sssd":          {func(h *Host) { h.Subuid, h.Nsswitch = "", "subid: sss" }, Dynamic, ""},
		"exist":         {func(h *Host) { h.UIDs, h.GIDs = []Extent{{0, 0, 1 << 20}}, []Extent{{100000, 100000, 65536}} }, Static, ""},
		"a container":   {func(h *Host) { h.UIDs = []Extent{{0, 100000, 65536}} }, Single, "100000 to 165535 do not exist"},
		"across":        {func(h *Host) { h.GIDs = []Extent{{0, 0, 150000}, {150000, 200000, 65536}} }, Single, "do not exist"},
		"nameless":      {func(h *Host) { h.Name = "" }, Single, "for 1000"},
		"nameless, uid": {func(h *Host) { h.Name, h.Subuid, h.Subgid = "", "1000:1:1", "1000:1:1" }, Static, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := full
			c.change(&h)
			got, reason := Plan(h)
			if got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
			switch {
			case reason == nil && c.reason != "":
				t.Errorf("no reason, want %q", c.reason)
			case reason != nil && (c.reason == "" || !strings.Contains(reason.Error(), c.reason)):
				t.Errorf("reason %q, want %q", reason, c.reason)
			}
		})
	}
}

func TestPrivileged(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if err := privileged("newuidmap"); err == nil {
		t.Error("a helper that is not there has privilege")
	}
	path := filepath.Join(dir, "newuidmap")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := privileged("newuidmap"); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a plain program: %v", err)
	}
	if err := os.Chmod(path, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	// Of nobody but root is that worth anything.
	if err := privileged("newuidmap"); (err == nil) != (os.Getuid() == 0) {
		t.Errorf("a setuid program of uid %d: %v", os.Getuid(), err)
	}
}

func TestDiagnose(t *testing.T) {
	on := func(name, value string) func(string) string {
		return func(asked string) string {
			if asked == name {
				return value
			}
			return ""
		}
	}
	for _, c := range []struct {
		err     error
		setting func(string) string
		want    string
	}{
		{unix.ENOSPC, on("user/max_user_namespaces", "0"), "user.max_user_namespaces=28633"},
		{unix.ENOSPC, on("", ""), "nested too deep"},
		{unix.EPERM, on("kernel/unprivileged_userns_clone", "0"), "kernel.unprivileged_userns_clone=1"},
		{unix.EPERM, on("kernel/unprivileged_userns_clone", "1"), "seccomp"},
		{unix.EACCES, on("kernel/apparmor_restrict_unprivileged_userns", "1"), "AppArmor"},
		{api.Errorf("mount", "", "exit status 1"), on("kernel/apparmor_restrict_unprivileged_userns", "1"), "AppArmor"},
	} {
		why, r := restriction(c.err, c.setting)
		if got := why + ": " + r.Text; !strings.Contains(got, c.want) {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
	if why, r := restriction(unix.ENOMEM, on("", "")); why != "" || r.Text != "" {
		t.Errorf("an unknown cause has the remedy %q", r.Text)
	}
}
