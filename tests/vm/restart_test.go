package vm

import (
	"strings"
	"testing"
)

// Policies hold over a reboot, once the user has asked for that: unless-stopped not
// for what the user has stopped, always for that too.
func TestRebootStartsAgain(t *testing.T) {
	m := up(t)
	defer m.OK("dev", "sbx system reset -f")
	m.OK("dev", "sbx import /opt/sbx-tests/busybox.tar busybox")
	m.Is("/home/dev/.config/systemd/user/sbx.service", "dev", "sbx system enable")
	defer m.OK("dev", "sbx system disable")
	m.OK("dev", "systemd-analyze --user verify --man=no ~/.config/systemd/user/sbx.service")
	for name, policy := range map[string]string{"runs": "unless-stopped", "stopped": "unless-stopped", "always": "always", "plain": "no"} {
		m.OK("dev", "sbx run -d --restart "+policy+" --name "+name+" busybox sh -c 'until rm /end 2>/dev/null; do sleep 0.2; done'")
	}
	m.OK("dev", "sbx stop -t 0 stopped always")

	m.Reboot()

	const list = "sbx ps -a --format '{{.Names}} {{.State}}' | sort"
	m.Eventually("always running\nplain exited\nruns running\nstopped exited", "dev", list)
	m.OK("dev", "sbx kill runs") // by hand: it stays down
	const began = "sbx inspect -f '{{.State.StartedAt}}' always"
	before := m.OK("dev", began)
	m.OK("dev", "sbx exec always touch /end")
	m.Eventually("again", "dev", "test $("+began+") = "+before+" || echo again")
	m.Eventually("always running\nplain exited\nruns exited\nstopped exited", "dev", list)

	m.OK("dev", "sbx system disable")
	m.Is("gone", "dev", "test -e ~/.config/systemd/user/sbx.service || echo gone")
}

// Units of systemd, for a sandbox and for a Quadlet file.
func TestUnits(t *testing.T) {
	m := up(t)
	const units = "~/.config/systemd/user/"
	defer m.OK("dev", "rm -f "+units+"sbx-web.service "+units+"job.service && systemctl --user daemon-reload && sbx system reset -f")
	m.OK("dev", "sbx import /opt/sbx-tests/busybox.tar busybox")
	m.OK("dev", "sbx create --name web -p 18080:80 busybox sh -c 'echo hello >/index.html; exec httpd -f -h /'")
	m.OK("dev", "sbx generate systemd --files web && systemd-analyze --user verify --man=no "+units+"sbx-web.service")
	m.OK("dev", "systemctl --user start sbx-web")
	m.Eventually("hello", "dev", "curl -s http://127.0.0.1:18080/")
	m.Is("active", "dev", "systemctl --user is-active sbx-web")
	m.OK("dev", "systemctl --user stop sbx-web")
	m.Is("exited", "dev", "sbx inspect -f '{{.State.Status}}' web")

	const quadlet = `[Unit]\nDescription=A job\n[Container]\nImage=busybox\nContainerName=job\nMemory=64m\nEnvironment=WORD="two words"\n` +
		`Volume=%%h/job:/job\nExec=sh -c '{ echo "$$WORD"; cat /sys/fs/cgroup/memory.max; } >/job/out; exec sleep 1000'\n[Service]\nRestart=on-failure\n`
	m.OK("dev", "mkdir -p job && rm -f job/out")
	m.OK("dev", `printf '`+strings.ReplaceAll(quadlet, "'", `'\''`)+`' >job.container && sbx generate quadlet --files job.container`)
	m.OK("dev", "systemctl --user start job")
	m.Eventually("two words\n67108864", "dev", "cat job/out")
	m.OK("dev", "sbx kill job") // a failure: systemd starts it again
	m.Eventually("job running", "dev", "sbx ps --format '{{.Names}} {{.State}}'")
	m.OK("dev", "systemctl --user stop job")
	m.Is("", "dev", "sbx ps -aq --filter name=job")
}
