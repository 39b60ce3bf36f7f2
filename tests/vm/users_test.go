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

// What a user may open as a member of a group, a sandbox may that keeps the groups; where
// there is one id, too.
func TestDeviceOfAGroup(t *testing.T) {
	m := up(t)
	m.OK("root", "groupadd -f radio && rm -f /dev/radio && mknod -m 660 /dev/radio c 1 5 && chgrp radio /dev/radio")
	defer m.OK("root", "rm -f /dev/radio")
	const hear = "busybox sh -c 'head -c 4 /dev/radio | wc -c'"
	for _, user := range []string{"dev", "nosub"} {
		m.OK(user, "sbx system reset -f") // who serves has the groups that he had at the start
		m.OK("root", "usermod -aG radio "+user)
		// In a login that has the group. A note is said once, hence the first run.
		r := m.RunFresh(user, `sbx import /opt/sbx-tests/busybox.tar busybox && sbx run --rm busybox true 2>/dev/null
			sbx run --rm --device /dev/radio busybox true; echo $?
			sbx run --rm --group-add keep-groups --device /dev/radio `+hear+`
			sbx run -d --name box --group-add keep-groups --device /dev/radio busybox sleep 1000 >/dev/null
			sbx exec `+strings.Replace(hear, "busybox", "box", 1)+`
			sbx run --rm --group-add 5 busybox id -G
			sbx system reset -f`)
		groups, refused := "0 5\n", ""
		if user == "nosub" {
			groups, refused = "", "your user namespace has one group only: use --group-add keep-groups"
		}
		if _, out, _ := strings.Cut(r.Out, "\n"); r.Code != 0 || out != "125\n4\n4\n"+groups ||
			!strings.Contains(r.Err, "only: add --group-add keep-groups") || !strings.Contains(r.Err, refused) {
			t.Errorf("%s: %+v", user, r)
		}
		m.OK("root", "gpasswd -d "+user+" radio")
	}
}
