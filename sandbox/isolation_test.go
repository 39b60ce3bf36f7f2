package sandbox

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

func words(s string) []string { return strings.Fields(s) }

const dockers = "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP"

func TestCapabilities(t *testing.T) {
	all := strings.Join(api.Capabilities, " ")
	without := func(list string, drop ...string) string {
		return strings.Join(slices.DeleteFunc(words(list), func(c string) bool { return slices.Contains(drop, c) }), " ")
	}
	for _, c := range []struct {
		add, drop  string
		privileged bool
		want       string
	}{
		{want: dockers},
		{add: "SYS_ADMIN", want: dockers + " SYS_ADMIN"},
		{drop: "KILL", want: without(dockers, "KILL")},
		{drop: "SYS_ADMIN", want: dockers},
		{add: "KILL", drop: "KILL", want: dockers}, // dropped first, then added
		{drop: "ALL", want: ""},
		{drop: "ALL", add: "KILL", want: "KILL"},
		{drop: "KILL ALL", add: "KILL", want: "KILL"},
		{add: "ALL", want: all},
		{add: "ALL", drop: "KILL SYS_ADMIN", want: without(all, "KILL", "SYS_ADMIN")},
		{add: "ALL KILL", drop: "KILL", want: without(all, "KILL")},
		{add: "ALL", drop: "ALL", want: all},
		{add: "ALL", drop: "ALL NET_RAW", want: without(all, "NET_RAW")}, // never more than was left
		{add: "cap_sys_time", drop: "CAP_KILL", want: without(dockers, "KILL") + " SYS_TIME"},
		{privileged: true, drop: "ALL", want: all},
	} {
		bits, err := capabilities(&api.Isolation{CapAdd: words(c.add), CapDrop: words(c.drop), Privileged: c.privileged})
		var got []string
		for _, name := range capNames(bits) {
			got = append(got, strings.TrimPrefix(name, "CAP_"))
		}
		want := words(c.want)
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("add %q drop %q: %q, %v, want %q", c.add, c.drop, got, err, want)
		}
	}
	for _, name := range []string{"", "NOSUCH", "CAP_", "CAP_ALL", "CAP_CAP_KILL", "KILL "} {
		for _, i := range []api.Isolation{{CapAdd: []string{name}}, {CapDrop: []string{"ALL", name}}} {
			if bits, err := capabilities(&i); err == nil || bits != 0 {
				t.Errorf("%+v: %x, %v", i, bits, err)
			}
		}
	}
}

func TestCapNames(t *testing.T) {
	// The numbers are the kernel's: a wrong one gives another right.
	for name, bit := range map[string]int{
		"CHOWN": unix.CAP_CHOWN, "KILL": unix.CAP_KILL, "SYS_ADMIN": unix.CAP_SYS_ADMIN, "NET_ADMIN": unix.CAP_NET_ADMIN, "SETFCAP": unix.CAP_SETFCAP,
		"SYS_PTRACE": unix.CAP_SYS_PTRACE, "SYSLOG": unix.CAP_SYSLOG, "BPF": unix.CAP_BPF, "CHECKPOINT_RESTORE": unix.CAP_CHECKPOINT_RESTORE,
	} {
		if got := capNames(1 << bit); !slices.Equal(got, []string{"CAP_" + name}) {
			t.Errorf("bit %d is %q, want %s", bit, got, name)
		}
	}
	if capSysAdmin != unix.CAP_SYS_ADMIN || len(api.Capabilities) != unix.CAP_LAST_CAP+1 {
		t.Errorf("CAP_SYS_ADMIN is %d, of %d", capSysAdmin, len(api.Capabilities))
	}
	if got := capNames(0); got != nil {
		t.Errorf("none is %q", got)
	}
	if got := capNames(1 << 63); got != nil {
		t.Errorf("a capability that does not exist is %q", got)
	}
}

// What cannot be honoured is an error, never something weaker.
func TestCheckIsolation(t *testing.T) {
	for _, i := range []api.Isolation{
		{}, {Network: "none"}, {Network: "host"}, {Network: "bridge"}, {Network: "pasta"}, {Network: "slirp4netns"}, {Network: "container:x"}, {PID: "host", IPC: "host", UTS: "host"}, {PID: "private", IPC: "private", UTS: "private"},
		{PID: "container:other"}, {CapAdd: []string{"ALL"}}, {Privileged: true},
	} {
		if err := checkIsolation(&i); err != nil || i.Network == "" {
			t.Errorf("%+v: %v", i, err)
		}
	}
	for want, i := range map[string]api.Isolation{
		"--network PASTA":      {Network: "PASTA"},
		"--network NONE":       {Network: "NONE"},
		"--network host,none":  {Network: "host,none"},
		"--pid Host":           {PID: "Host"},
		"--pid none":           {PID: "none"},
		"--pid ns:/proc/1":     {PID: "ns:/proc/1"},
		"--ipc container:x":    {IPC: "container:x"},
		"--ipc shareable":      {IPC: "shareable"},
		"--uts container:x":    {UTS: "container:x"},
		"--uts  host":          {UTS: " host"},
		`capability "SYS_GOD"`: {CapAdd: []string{"SYS_GOD"}},
	} {
		err := checkIsolation(&i)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for s, want := range map[string]unix.Signal{
		"": unix.SIGTERM, "TERM": unix.SIGTERM, "SIGTERM": unix.SIGTERM, "sigkill": unix.SIGKILL, "hUp": unix.SIGHUP, "9": unix.SIGKILL, "1": unix.SIGHUP,
		"64": 64, "SIGWINCH": unix.SIGWINCH, "RTMIN": 34, "SIGRTMIN+3": 37, "rtmin+30": 64, "RTMIN+0": 34, "SIGRTMAX": 64, "RTMAX-14": 50, "RTMAX-30": 34,
	} {
		if got, err := parseSignal(s, unix.SIGTERM); err != nil || got != want {
			t.Errorf("%q: %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{
		"0", "-1", "65", "+9", "09", "9 ", " 9", "9x", "0x9", "1e1", "NOSUCH", "SIG", "SIGSIGTERM", "TERM ", "99999999999999999999",
		"RTMIN+31", "RTMIN-1", "RTMAX+1", "RTMIN+", "RTMIN+3x", "RTMIN3", "RTMIN++3", "RTMAX-31", "RTMIN+99999999999999999999",
	} {
		if got, err := parseSignal(s, unix.SIGTERM); err == nil || got != 0 {
			t.Errorf("%q is taken for %d", s, got)
		}
	}
}

func TestFiltersAreCompiledOnce(t *testing.T) {
	var f filters
	first, err := f.compile("", 1, false)
	if err != nil || len(first) == 0 {
		t.Fatalf("%d bytes, %v", len(first), err)
	}
	again, err := f.compile("", 1, false)
	if err != nil || &again[0] != &first[0] {
		t.Errorf("compiled again, %v", err)
	}
	// The profile allows more to who has CAP_SYS_ADMIN.
	other, err := f.compile("", 1|1<<capSysAdmin, false)
	if err != nil || slices.Equal(other, first) {
		t.Errorf("the same filter for other capabilities, %v", err)
	}
	if none, err := f.compile("unconfined", 1, false); none != nil || err != nil {
		t.Errorf("unconfined: %d bytes, %v", len(none), err)
	}
	for _, profile := range []string{"Unconfined", "{", "[]", `{"defaultAction":"SCMP_ACT_NOSUCH"}`} {
		if filter, err := f.compile(profile, 1, false); err == nil {
			t.Errorf("%q: %d bytes", profile, len(filter))
		}
	}
}
