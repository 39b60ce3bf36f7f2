package vm

import (
	"fmt"
	"testing"
	"time"
)

// The clock of a machine may jump, when it first finds a time server or wakes up. What
// runs goes on, and nothing waits for a time that has gone by or never comes.
func TestClockJumps(t *testing.T) {
	m := up(t)
	defer m.OK("dev", "sbx system reset -f")
	m.OK("dev", "sbx import /opt/sbx-tests/busybox.tar busybox")
	m.OK("dev", "sbx run -d --name job --restart always --health-interval 1s --health-cmd 'true' busybox sh -c 'trap exit TERM; while :; do echo tick; sleep 1; done'")
	m.Eventually("healthy", "dev", "sbx inspect -f '{{.State.Health.Status}}' job")
	defer func() { m.OK("root", fmt.Sprintf("date -s @%d", time.Now().Unix())) }()
	for _, jump := range []string{"+400 days", "-800 days"} {
		m.OK("root", "date -s '"+jump+"'")
		m.Is("job running", "dev", "sbx ps --format '{{.Names}} {{.State}}'")
		m.OK("dev", "sbx run --rm busybox true")
		m.OK("dev", "sbx create --name late busybox true && sbx start late && sbx wait late && sbx rm late")
		m.OK("dev", "sbx exec job true && sbx stats --no-stream && sbx system df && sbx images")
		m.OK("dev", "sbx commit job kept && sbx rmi kept")
		// Both are questions about a time that is over: no waiting.
		m.OK("dev", "timeout 20 sbx logs -t --since 10s job && timeout 20 sbx events --since 1h --until 0s")
		m.OK("dev", "sbx exec job sh -c 'kill 1'")
		m.Eventually("1 running", "dev", "sbx inspect -f '{{.RestartCount}} {{.State.Status}}' job")
		m.OK("dev", "sbx restart -t 0 job")
		m.Eventually("healthy", "dev", "sbx inspect -f '{{.State.Health.Status}}' job")
		m.OK("dev", "sbx logs -n 1 -f job | { read line; echo $line; } | grep tick")
	}
}
