package vm

import (
	"strings"
	"testing"
)

// Who has no subordinate ids has the ids of one user, and the rest works.
func TestUserWithoutSubordinateIDs(t *testing.T) {
	m := up(t)
	defer m.OK("nosub", "sbx system reset -f")
	m.Is("nosub", "nosub", "sbx run --rm host id -un")
	m.OK("nosub", "sbx import /opt/sbx-tests/busybox.tar busybox")
	const stat = "sbx run --rm busybox stat -c '%u %g' /bin/busybox"
	// That there are none is said once, with the remedy.
	if r := m.Run("nosub", stat); r.Code != 0 || r.Out != "0 0\n" || !strings.Contains(r.Err, "/etc/subuid has no range for nosub: as root: echo nosub:") {
		t.Errorf("%+v", r)
	}
	m.Is("0 0", "nosub", stat)
	m.Is("0 0", "nosub", "sbx run --rm busybox sh -c 'chown 33:33 /etc/hostname && stat -c \"%u %g\" /etc/hostname'")
	m.OK("nosub", "sbx run -d --name job --init busybox sleep 1000")
	m.Is("0", "nosub", "sbx exec job id -u")

	r := m.Run("nosub", "sbx run --rm -u 1000 busybox id")
	if r.Code == 0 || !strings.Contains(r.Err, "sbx doctor") || strings.Count(r.Err, "\n") != 1 {
		t.Errorf("another user's id: status %d, stderr %q, stdout %q", r.Code, r.Err, r.Out)
	}
}

// With AppArmor's profile of pasta enforced, as Debian ships it, a sandbox gets out.
func TestWayOut(t *testing.T) {
	m := up(t)
	defer m.OK("dev", "sbx system reset -f")
	m.OK("root", "grep -q '^pasta (enforce)' /sys/kernel/security/apparmor/profiles")
	m.OK("dev", "sbx import /opt/sbx-tests/busybox.tar busybox")
	if out := m.OK("dev", "sbx run --rm busybox nslookup host.test"); !strings.Contains(out, "10.0.2.15") {
		t.Errorf("a name that the machine's name server knows: %q", out)
	}
}
