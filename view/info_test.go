package view

import (
	"encoding/json"
	"testing"
)

func TestInfo(t *testing.T) {
	facts := InfoFacts{
		Version: "1.2", Images: 2, Sandboxes: 6, Running: 1, Paused: 1, Stopped: 4, StorageRoot: "/data/storage", RunRoot: "/run/user/1000/sbx",
		Driver: "overlay", DriverStatus: [][2]string{{"Overlay", "/usr/bin/fuse-overlayfs"}, {"Not The Kernel", "mount overlay /data: invalid argument"}}, Kernel: "6.12", OS: "Debian GNU/Linux 13 (trixie)", Arch: "x86_64", CPUs: 8, Memory: 16 << 30,
		UserNamespace: []string{"0 1000 1", "1 100000 65536"}, Network: "pasta", CgroupVersion: "2",
		CgroupDriver: "systemd", Controllers: []string{"cpu", "memory", "pids"},
		SecurityOptions: []string{"name=seccomp,profile=builtin", "name=rootless"}, Name: "box", SupervisorPID: 77, WarmSlots: 2,
		Warnings: []string{"no way out for networks: install the package passt"},
	}
	text, err := Info(facts, "")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "info.golden", text)
	for format, want := range map[string]string{
		"{{.ServerVersion}} {{.Driver}} {{.MemTotal}} {{.NCPU}}":                         "1.2 overlay 17179869184 8\n",
		"{{range .SecurityOptions}}{{println .}}{{end}}":                                 "name=seccomp,profile=builtin\nname=rootless\n\n",
		"{{.CgroupDriver}} {{.MemoryLimit}} {{.CpuCfsQuota}} {{.CPUSet}} {{.PidsLimit}}": "systemd true true false true\n",
		"{{json .UserNamespace}}":                                                        `["0 1000 1","1 100000 65536"]` + "\n",
	} {
		if got, err := Info(facts, format); got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", format, got, err, want)
		}
	}
	text, err = Info(facts, "json")
	var back info
	if err != nil || json.Unmarshal([]byte(text), &back) != nil || back.ContainersStopped != 4 || back.SupervisorPid != 77 {
		t.Errorf("json: %s, %v", text, err)
	}
	if _, err := Info(facts, "{{.Nothing}}"); err == nil {
		t.Error("{{.Nothing}}: no error")
	}
}

func TestVersion(t *testing.T) {
	facts := VersionFacts{
		Client: Component{Version: "1.1"},
		Server: Component{Version: "1.2", Protocol: 1, GoVersion: "go1.26.8", Os: "linux", Arch: "amd64"},
	}
	for format, want := range map[string]string{
		"": "Client:\n Version:           1.1\n\nServer:\n Version:           1.2\n Protocol:          1\n" +
			" Go version:        go1.26.8\n OS/Arch:           linux/amd64\n",
		"{{.Server.Version}} {{.Client.Version}}": "1.2 1.1\n",
		"json": `{"Client":{"Version":"1.1","Protocol":0,"GoVersion":"","Os":"","Arch":""},` +
			`"Server":{"Version":"1.2","Protocol":1,"GoVersion":"go1.26.8","Os":"linux","Arch":"amd64"}}` + "\n",
	} {
		if got, err := Version(facts, format); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", format, got, err, want)
		}
	}
}

func TestTop(t *testing.T) {
	got := Top([]string{"UID", "PID", "CMD"}, [][]string{{"0", "4242", "sh -c 'a\tb'"}, {"33", "4243"}})
	want := "UID                 PID                 CMD\n" +
		"0                   4242                sh -c 'a\\tb'\n" +
		"33                  4243\n"
	if got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}
