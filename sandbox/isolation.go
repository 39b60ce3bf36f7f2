package sandbox

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/seccomp"
	"sbx/slirp"
)

// defaultCaps is Docker's list. Within a user namespace none of them reaches
// beyond the sandbox.
var defaultCaps = []string{"CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID",
	"SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"}

const (
	capSysPtrace = 19
	capSysAdmin  = 21
)

// checkIsolation refuses what cannot be honoured. Nothing is weakened silently:
// an unknown word is an error, never the default.
func checkIsolation(i *api.Isolation) error {
	if i.Network == "" {
		i.Network = api.DefaultNetwork
	}
	for _, m := range []struct {
		flag, value string
		allowed     []string
		container   bool
	}{
		{"--network", i.Network, []string{"none", "host", api.DefaultNetwork, slirp.Pasta, slirp.Slirp4netns}, true},
		{"--pid", i.PID, []string{"", "private", "host"}, true},
		{"--ipc", i.IPC, []string{"", "private", "host"}, false},
		{"--uts", i.UTS, []string{"", "private", "host"}, false},
	} {
		if slices.Contains(m.allowed, m.value) || m.container && strings.HasPrefix(m.value, "container:") {
			continue
		}
		return api.Errorf("run", "", "%s %s is not supported yet", m.flag, m.value).
			WithHint("known are %s", strings.Join(slices.DeleteFunc(slices.Clone(m.allowed), func(s string) bool { return s == "" }), ", "))
	}
	_, err := capabilities(i)
	return err
}

// capabilities is the bounding set that the flags ask for, one bit each.
func capabilities(i *api.Isolation) (uint64, error) {
	all := uint64(1)<<len(api.Capabilities) - 1
	if i.Privileged {
		return all, nil
	}
	set, err := capBits(defaultCaps)
	if err != nil {
		return 0, err
	}
	add, err := capBits(i.CapAdd)
	if err != nil {
		return 0, err
	}
	drop, err := capBits(i.CapDrop)
	if err != nil {
		return 0, err
	}
	// Docker: --cap-add ALL --cap-drop X leaves all but X, whatever else is said;
	// --cap-drop ALL --cap-add X leaves X.
	switch {
	case slices.Contains(i.CapAdd, "ALL"):
		return all &^ drop, nil
	case slices.Contains(i.CapDrop, "ALL"):
		return add, nil
	}
	return set&^drop | add, nil
}

// capBits are the bits of the names in a list. ALL, which is none, is left to the
// caller.
func capBits(list []string) (uint64, error) {
	var bits uint64
	for _, name := range list {
		if name == "ALL" {
			continue
		}
		bit := slices.Index(api.Capabilities, strings.TrimPrefix(strings.ToUpper(name), "CAP_"))
		if bit < 0 {
			return 0, api.Errorf("run", "", "unknown capability %q", name).WithHint("see capabilities(7)")
		}
		bits |= 1 << bit
	}
	return bits, nil
}

func capNames(bits uint64) []string {
	var list []string
	for bit, name := range api.Capabilities {
		if bits&(1<<bit) != 0 {
			list = append(list, "CAP_"+name)
		}
	}
	return list
}

// filters keeps compiled seccomp profiles; there are few different ones.
type filters struct {
	mu   sync.Mutex
	made map[[sha256.Size]byte][]byte
}

// compile gives the filter for a profile and a set of capabilities; nil is no
// filter. Single is for a sandbox without any other id than that of its root.
func (f *filters) compile(profile string, caps uint64, single bool) ([]byte, error) {
	if profile == "unconfined" {
		return nil, nil
	}
	key := sha256.Sum256(fmt.Appendf(nil, "%t %x %s", single, caps, profile))
	f.mu.Lock()
	defer f.mu.Unlock()
	if filter, ok := f.made[key]; ok {
		return filter, nil
	}
	compile := seccomp.Compile
	if single {
		compile = seccomp.CompileSingle
	}
	filter, err := compile([]byte(profile), capNames(caps))
	if err != nil {
		return nil, api.Wrap("compile the seccomp profile", "", err)
	}
	if f.made == nil || len(f.made) > 100 {
		f.made = map[[sha256.Size]byte][]byte{}
	}
	f.made[key] = filter
	return filter, nil
}

// parseSignal understands names with and without SIG, and numbers.
func parseSignal(s string, unset unix.Signal) (unix.Signal, error) {
	if s == "" {
		return unset, nil
	}
	var n int
	if _, err := fmt.Sscanf(s, "%d", &n); err == nil && fmt.Sprint(n) == s && n > 0 && n <= 64 {
		return unix.Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	if n = realTime(name); n != 0 {
		return unix.Signal(n), nil
	}
	return 0, api.Errorf("signal", s, "there is no such signal").WithHint("see kill -l")
}

// realTime is the number of SIGRTMIN+n or SIGRTMAX-n as Docker and the C library
// count them, or 0. An image may name one; the command line sends numbers.
func realTime(name string) int {
	const first, last = 34, 64
	n := first
	rest, ok := strings.CutPrefix(name, "SIGRTMIN")
	if !ok {
		n = last
		rest, ok = strings.CutPrefix(name, "SIGRTMAX")
	}
	if !ok || rest != "" && rest[0] != '+' && rest[0] != '-' {
		return 0
	}
	if rest != "" {
		offset, err := strconv.Atoi(rest)
		if err != nil {
			return 0
		}
		n += offset
	}
	if n < first || n > last {
		return 0
	}
	return n
}
