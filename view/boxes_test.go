package view

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sbx/api"
)

// TestMain fixes the time zone: CREATED AT is in local time.
func TestMain(m *testing.M) {
	time.Local = time.UTC
	os.Exit(m.Run())
}

func now() time.Time { return time.Date(2026, 3, 14, 15, 9, 26, 535897932, time.UTC) }

func ago(d time.Duration) time.Time { return now().Add(-d) }

func id(start string) string { return start + strings.Repeat("0", 64-len(start)) }

// boxes are one of each kind, in no order.
func boxes() []api.Sandbox {
	patience := 3
	web := api.Sandbox{
		Dir: "/data/sandboxes/" + id("3b1f"),
		Config: api.Config{
			ID: id("3b1f"), Created: ago(3*time.Minute + 10*time.Second), ImageID: id("feedc0ffee"), Layers: []string{"L2", "L1"},
			Spec: api.Spec{
				Name: "web", Hostname: "www", Image: "debian:13", Labels: map[string]string{"tier": "front", "com.example.cpu-kind": "big"},
				Process: api.Process{
					Entrypoint: []string{"/bin/sh", "-c"}, Cmd: []string{"exec python3 -m http.server <&- && true"},
					Env: []string{"PATH=/usr/bin:/bin", "A=b c"}, WorkDir: "/srv", User: "www:www", TTY: true, Stdin: true, Init: true,
					Rlimits: []api.Rlimit{{Name: "nofile", Soft: 1024, Hard: 2048}, {Name: "core", Soft: 0, Hard: ^uint64(0)}},
				},
				Isolation: api.Isolation{
					Network: "host", IPC: "host", CapAdd: []string{"NET_ADMIN"}, CapDrop: []string{"ALL"},
					NoNewPrivileges: true, Seccomp: "unconfined", ReadOnly: true,
				},
				Mounts: []api.Mount{
					{Type: "bind", Source: "/home/ann/project/site", Target: "/srv"},
					{Type: "bind", Source: "/etc/ssl", Target: "/ssl", ReadOnly: true},
					{Type: "tmpfs", Target: "/cache", Options: "size=64m", ReadOnly: true},
				},
				Lifecycle: api.Lifecycle{StopSignal: "SIGQUIT", StopTimeout: &patience, LogOpts: map[string]string{"max-size": "10m"}},
			},
		},
		Status: api.Status{State: api.Running, PID: 4242, MonitorPID: 4200, StartedAt: ago(3 * time.Minute)},
	}
	return []api.Sandbox{
		box("77aa", "killed", 5*time.Hour, api.Status{State: api.Exited, ExitCode: 137, StartedAt: ago(5 * time.Hour), FinishedAt: ago(2 * time.Hour), PID: 99}),
		web,
		box("9c", "lost", 50*time.Hour, api.Status{State: api.Exited, Unknown: true, StartedAt: ago(50 * time.Hour), FinishedAt: ago(49 * time.Hour)}),
		box("3b20", "fresh", 20*time.Second, api.Status{State: api.Created}),
		box("c0", "fine", 30*24*time.Hour, api.Status{State: api.Exited, StartedAt: ago(30 * 24 * time.Hour), FinishedAt: ago(29 * 24 * time.Hour), Direct: true}),
	}
}

// box is a plain sandbox of the host's own file system.
func box(start, name string, age time.Duration, st api.Status) api.Sandbox {
	return api.Sandbox{
		Dir: "/data/sandboxes/" + id(start),
		Config: api.Config{
			ID: id(start), Created: ago(age),
			Spec: api.Spec{Name: name, Image: api.HostImage, Process: api.Process{Cmd: []string{"true"}}},
		},
		Status: st,
	}
}

// golden compares got with testdata/name. UPDATE_GOLDEN=1 writes the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}

func inspectBoxes(boxes []api.Sandbox, format string) (string, error) {
	return inspectAll(boxes, false, format)
}

func inspectSize(boxes []api.Sandbox, format string) (string, error) {
	return inspectAll(boxes, true, format)
}

func inspectAll(boxes []api.Sandbox, size bool, format string) (string, error) {
	var objects []Object
	for _, box := range boxes {
		o, err := Inspected(box, size)
		if err != nil {
			return "", err
		}
		objects = append(objects, o)
	}
	return Inspect(objects, format)
}
