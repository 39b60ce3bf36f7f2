package vm

import "testing"

// A sandbox of a user who lingers outlives the login that started it, also where a
// logout kills what a session has left.
func TestLogoutLeavesWhatLingers(t *testing.T) {
	m := up(t)
	const conf = "/etc/systemd/logind.conf.d/sbx.conf"
	m.OK("root", "mkdir -p /etc/systemd/logind.conf.d && printf '[Login]\\nKillUserProcesses=yes\\n' >"+conf+" && systemctl restart systemd-logind")
	defer m.OK("root", "rm "+conf+" && systemctl restart systemd-logind")
	defer m.OK("dev", "sbx system reset -f")

	session := m.RunFresh("dev", "sbx run -d --name job host sleep 1000 >/dev/null && echo $XDG_SESSION_ID").must(t)
	m.Eventually("", "root", "ls -d /run/systemd/sessions/"+session+" 2>/dev/null || true")
	m.Is("job running", "dev", "sbx ps --format '{{.Names}} {{.State}}'")
	if out := m.OK("dev", "sbx exec job echo there"); out != "there" {
		t.Errorf("exec after the logout printed %q", out)
	}
}

// A sandbox of a user who does not linger ends with the last login, everything of sbx
// does, and the next login finds it as one that has ended.
func TestLogoutEndsWhatDoesNotLinger(t *testing.T) {
	m := up(t)
	defer m.OK("nolinger", "sbx system reset -f")
	m.OK("nolinger", "sbx run -d --name job host sleep 1000")
	// logind waits ten seconds for another login before it ends the user's manager.
	m.Eventually("", "root", "pgrep -u nolinger || true")
	m.Eventually("gone", "root", "test -e /run/user/1002 || echo gone")
	m.Is("job exited", "nolinger", "sbx ps -a --format '{{.Names}} {{.State}}'")
	m.Is("job\nthere", "nolinger", "sbx start job && sbx exec job echo there")
}
