package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"sbx/api"
)

// isolationFlags say what separates the sandbox from the host.
type isolationFlags struct {
	pid, ipc, uts, userns string
	capAdd, capDrop       []string
	security, sysctls     []string
	privileged, readOnly  bool
}

func (f *isolationFlags) add(fs *pflag.FlagSet) {
	fs.StringVar(&f.pid, "pid", "", "process ids: `host|container:NAME`; private otherwise")
	fs.StringVar(&f.ipc, "ipc", "", "System V IPC and /dev/shm: `host|container:NAME`; private otherwise")
	fs.StringVar(&f.uts, "uts", "", "host name: `host`; private otherwise")
	fs.StringVar(&f.userns, "userns", "", "users: `keep-id[:uid=N,gid=N]` runs the program as yourself, in any image; otherwise you are root in it")
	fs.Var((*list)(&f.capAdd), "cap-add", "add a `CAPABILITY`, or ALL")
	fs.Var((*list)(&f.capDrop), "cap-drop", "drop a `CAPABILITY`, or ALL")
	fs.Var((*list)(&f.security), "security-opt", "`no-new-privileges|seccomp=FILE|seccomp=unconfined`")
	fs.Var((*list)(&f.sysctls), "sysctl", "`NAME=VALUE` a setting of the sandbox's own namespaces: net.*, fs.mqueue.*, kernel.shm*, kernel.msg*, kernel.sem")
	fs.BoolVar(&f.privileged, "privileged", false, "everything that the user namespace can give")
	fs.BoolVar(&f.readOnly, "read-only", false, "mount the root file system read-only")
}

func (f *isolationFlags) isolation() (api.Isolation, error) {
	iso := api.Isolation{Privileged: f.privileged, ReadOnly: f.readOnly}
	var err error
	if iso.PID, err = namespace("--pid", f.pid, "private"); err != nil {
		return iso, err
	}
	if iso.IPC, err = namespace("--ipc", f.ipc, "private", "shareable"); err != nil {
		return iso, err
	}
	if iso.UTS, err = namespace("--uts", f.uts, "private"); err != nil {
		return iso, err
	}
	if strings.HasPrefix(iso.UTS, "container:") {
		return iso, invalid("--uts", f.uts, "a host name is shared with the host or with nobody")
	}
	if iso.Userns, err = userns(f.userns); err != nil {
		return iso, err
	}
	if iso.CapAdd, err = capabilities("--cap-add", f.capAdd); err != nil {
		return iso, err
	}
	if iso.CapDrop, err = capabilities("--cap-drop", f.capDrop); err != nil {
		return iso, err
	}
	if iso.Sysctls, err = f.settings(&iso); err != nil {
		return iso, err
	}
	err = securityOpts(&iso, f.security)
	return iso, err
}

// userns checks a mode of --userns.
func userns(mode string) (string, error) {
	switch word, _, _ := strings.Cut(mode, ":"); word {
	case "", "private":
		return "", nil
	case "host":
		return "", refused("--userns host", "a sandbox has a user namespace of its own, in which you are root; leave the flag out")
	case "auto", "nomap", "container", "ns":
		return "", refused("--userns "+word, "sbx has two: root in the sandbox is you, or keep-id")
	}
	if _, _, _, err := api.ParseKeepID(mode); err != nil {
		return "", invalid("--userns", mode, "expected keep-id or keep-id:uid=N,gid=N")
	}
	return mode, nil
}

// namespace checks a namespace mode. Private is what each sandbox has anyway.
func namespace(flag, mode string, private ...string) (string, error) {
	for _, p := range append(private, "") {
		if mode == p {
			return "", nil
		}
	}
	if mode == "host" {
		return mode, nil
	}
	if name, ok := strings.CutPrefix(mode, "container:"); ok && name != "" {
		return mode, nil
	}
	return "", invalid(flag, mode, "expected host or container:NAME")
}

// capabilities gives the names without CAP_ and in upper case.
func capabilities(flag string, list []string) ([]string, error) {
	var caps []string
	for _, text := range list {
		name := strings.TrimPrefix(strings.ToUpper(text), "CAP_")
		if !isCapability(name) {
			return nil, invalid(flag, text, "no capability has that name, see capabilities(7)")
		}
		caps = append(caps, name)
	}
	return caps, nil
}

func isCapability(name string) bool {
	switch name {
	case "ALL", "AUDIT_CONTROL", "AUDIT_READ", "AUDIT_WRITE", "BLOCK_SUSPEND", "BPF",
		"CHECKPOINT_RESTORE", "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID",
		"IPC_LOCK", "IPC_OWNER", "KILL", "LEASE", "LINUX_IMMUTABLE", "MAC_ADMIN", "MAC_OVERRIDE",
		"MKNOD", "NET_ADMIN", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_RAW", "PERFMON", "SETFCAP",
		"SETGID", "SETPCAP", "SETUID", "SYS_ADMIN", "SYS_BOOT", "SYS_CHROOT", "SYS_MODULE",
		"SYS_NICE", "SYS_PACCT", "SYS_PTRACE", "SYS_RAWIO", "SYS_RESOURCE", "SYS_TIME",
		"SYS_TTY_CONFIG", "SYSLOG", "WAKE_ALARM":
		return true
	}
	return false
}

// securityOpts reads --security-opt KEY, KEY=VALUE or KEY:VALUE.
func securityOpts(iso *api.Isolation, list []string) error {
	for _, opt := range list {
		key, value := opt, ""
		if i := strings.IndexAny(opt, "=:"); i >= 0 {
			key, value = opt[:i], opt[i+1:]
		}
		var err error
		switch key {
		case "no-new-privileges":
			iso.NoNewPrivileges, err = noNewPrivileges(opt, value)
		case "seccomp":
			iso.Seccomp, err = seccomp(opt, value)
		case "apparmor", "label", "systempaths", "writable-cgroups", "credentialspec":
			err = refused("--security-opt "+key, "an ordinary user can set no-new-privileges and seccomp only")
		default:
			err = invalid("--security-opt", opt, "expected no-new-privileges or seccomp=FILE")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func noNewPrivileges(opt, value string) (bool, error) {
	switch {
	case opt == "no-new-privileges", value == "true":
		return true, nil
	case value == "false":
		return false, nil
	}
	return false, invalid("--security-opt", opt, "expected true or false")
}

// seccomp gives the text of a profile, "unconfined", or "" for the default one.
func seccomp(opt, value string) (string, error) {
	switch value {
	case "":
		return "", invalid("--security-opt", opt, "expected a file, unconfined or default")
	case "default", "builtin":
		return "", nil
	case "unconfined":
		return value, nil
	}
	text, err := os.ReadFile(value)
	if err != nil {
		return "", invalid("--security-opt", opt, errors.Unwrap(err).Error())
	}
	var profile struct {
		DefaultAction string `json:"defaultAction"`
	}
	if err := json.Unmarshal(text, &profile); err != nil {
		return "", invalid("--security-opt", opt, fmt.Sprintf("not a seccomp profile: %v", err))
	}
	if profile.DefaultAction == "" {
		return "", invalid("--security-opt", opt, "not a seccomp profile: it has no defaultAction")
	}
	return string(text), nil
}
