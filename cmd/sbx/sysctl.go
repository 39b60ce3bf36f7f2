package main

import (
	"strings"

	"sbx/api"
)

// settings reads --sysctl. Only what belongs to a namespace of the sandbox's own can be
// set; that the network is its own is checked when it is known.
func (f *isolationFlags) settings(iso *api.Isolation) (map[string]string, error) {
	if len(f.sysctls) == 0 {
		return nil, nil
	}
	settings := map[string]string{}
	for _, text := range f.sysctls {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" || strings.Contains(name, "/") || strings.Contains(name, "..") || strings.ContainsAny(text, "\x00\n") {
			return nil, invalid("--sysctl", text, "expected NAME=VALUE, the name as sysctl(8) prints it")
		}
		switch {
		case strings.HasPrefix(name, "net."):
		case strings.HasPrefix(name, "fs.mqueue."), ofIPC(name):
			if iso.IPC != "" {
				return nil, invalid("--sysctl", text, "with --ipc "+iso.IPC+" it is not the sandbox's own")
			}
		case name == "kernel.domainname":
			return nil, invalid("--sysctl", text, "use --domainname")
		default:
			return nil, invalid("--sysctl", text, "it is a setting of the whole machine, which a sandbox cannot have another value of")
		}
		settings[name] = value
	}
	return settings, nil
}

// ofIPC are the settings of an IPC namespace, ipc_namespaces(7).
func ofIPC(name string) bool {
	switch name {
	case "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced":
		return true
	}
	return false
}

// checkSettings refuses settings of a network that is somebody else's.
func checkSettings(iso *api.Isolation) error {
	if iso.Network != "host" && !strings.HasPrefix(iso.Network, "container:") {
		return nil
	}
	for name := range iso.Sysctls {
		if strings.HasPrefix(name, "net.") {
			return invalid("--sysctl", name, "with --network "+iso.Network+" it is not the sandbox's own")
		}
	}
	return nil
}
