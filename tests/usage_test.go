package tests

import (
	"encoding/json"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sbx/tests/promised"
)

// limitable skips the test where sandboxes have no cgroup, or not these
// controllers; when SBX_MUST promises cgroups, it fails instead.
func (e *Env) limitable(controllers ...string) {
	e.t.Helper()
	have := strings.Fields(e.OK("info", "-f", `{{.CgroupDriver}} {{join .CgroupControllers " "}}`))
	missing := ""
	if have[0] == "none" {
		missing = "a cgroup"
	}
	for _, c := range controllers {
		if !slices.Contains(have, c) {
			missing = "the controller " + c
		}
	}
	if missing != "" {
		promised.OrSkip(e.t, "cgroups", "sbx has found no "+missing+":\n"+e.OK("info"))
	}
}

func TestShmSize(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	const size = "df -k /dev/shm | awk 'END { print $2 }'"
	e.Is("65536", "run", "--rm", image, "sh", "-c", size)
	e.Is("1024", "run", "--rm", "--shm-size", "1m", image, "sh", "-c", size)
	e.Is("131072", "run", "--rm", "--shm-size", "128m", "host", "sh", "-c", size)
	e.Is("2048", "run", "--rm", "--privileged", "--shm-size", "2m", image, "sh", "-c", size)
	e.OK("run", "-d", "--name", "box", "--shm-size", "1m", image, "sleep", "1000")
	for range 2 {
		e.Is("1024", "exec", "box", "sh", "-c", size)
		if r := e.Run("exec", "box", "dd", "if=/dev/zero", "of=/dev/shm/file", "bs=1k", "count=1025"); r.Code == 0 {
			t.Error("/dev/shm of 1 MiB took more")
		}
		e.OK("exec", "box", "rm", "/dev/shm/file")
		e.OK("restart", "-t", "0", "box")
	}
	e.Is("1048576", "inspect", "-f", "{{.HostConfig.ShmSize}}", "box")
	e.Fails(125, "--shm-size", "run", "--rm", "--shm-size", "1m", "--ipc", "host", image, "true")
}

func TestOOMScoreAdj(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	usual, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		t.Fatal(err)
	}
	least, err := strconv.Atoi(strings.TrimSpace(string(usual)))
	if err != nil {
		t.Fatal(err)
	}
	show := []string{"cat", "/proc/self/oom_score_adj"}
	for _, flags := range [][]string{{image}, {"-u", "1000", image}, {"--init", image}, {"--pid", "host", image}, {"host"}, {"--privileged", image}} {
		e.Is("900", append(append([]string{"run", "--rm", "--oom-score-adj", "900"}, flags...), show...)...)
		e.Is(strconv.Itoa(least), append(append([]string{"run", "--rm"}, flags...), show...)...)
	}
	e.OK("run", "-d", "--name", "box", "--oom-score-adj", "901", image, "sleep", "1000")
	e.Is("901", append([]string{"exec", "box"}, show...)...)
	e.Is("901", append([]string{"exec", "-u", "1000", "box"}, show...)...)
	e.Is("901", "inspect", "-f", "{{.HostConfig.OomScoreAdj}}", "box")
	// Lower than it was needs privilege, of which there is none here.
	e.Fails(125, "--oom-score-adj", "run", "--rm", "--oom-score-adj", "-1000", image, "true")
	e.Fails(125, "-1001 is not between", "run", "--rm", "--oom-score-adj", "-1001", image, "true")
}

// stats asks once, and gives the rows by name.
func (e *Env) stats(args ...string) map[string]map[string]string {
	e.t.Helper()
	rows := map[string]map[string]string{}
	for line := range strings.Lines(e.OK(append([]string{"stats", "--no-stream", "--format", "json"}, args...)...)) {
		var row map[string]string
		if err := json.Unmarshal([]byte(line), &row); err != nil {
			e.t.Fatalf("%v: %q", err, line)
		}
		rows[row["Name"]] = row
	}
	return rows
}

func TestStats(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("run", "-d", "--name", "busy", image, "sh", "-c", "while :; do :; done")
	// 4 MiB that are used.
	e.OK("run", "-d", "--name", "idle", image, "sh", "-c", `x=$(head -c 4194304 /dev/zero | tr '\0' x); sleep 1000 & wait`)
	e.OK("run", "--name", "done", image, "true")
	e.Eventually("the shell has its memory", func() bool {
		r := e.Run("top", "idle", "-o", "pid,comm")
		return strings.Contains(r.Out, "sleep")
	})
	e.OK("exec", "idle", "ping", "-c", "1", "127.0.0.1") // lo does not count

	rows := e.stats()
	busy, idle := rows["busy"], rows["idle"]
	if len(rows) != 2 || busy == nil || idle == nil {
		t.Fatalf("stats shows %v", rows)
	}
	percent := func(text string) float64 {
		n, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		if err != nil {
			t.Error(err)
		}
		return n
	}
	// Other tests want the processors too.
	if cpu := percent(busy["CPUPerc"]); cpu < 5 || cpu > 115 {
		t.Errorf("a loop uses %v of a processor", busy["CPUPerc"])
	}
	if cpu := percent(idle["CPUPerc"]); cpu > 5 {
		t.Errorf("a sleep uses %v of a processor", idle["CPUPerc"])
	}
	if busy["PIDs"] != "1" || idle["PIDs"] != "2" {
		t.Errorf("processes: %s and %s", busy["PIDs"], idle["PIDs"])
	}
	if used, _, _ := strings.Cut(idle["MemUsage"], "MiB"); percent(used) < 4 || percent(used) > 40 {
		t.Errorf("a shell with 4 MiB uses %s", idle["MemUsage"])
	}
	if busy["ID"] != e.OK("inspect", "-f", "{{slice .Id 0 12}}", "busy") || busy["Container"] != e.OK("inspect", "-f", "{{.Id}}", "busy") {
		t.Errorf("ids: %v", busy)
	}

	rows = e.stats("done", "busy")
	if done := rows["done"]; len(rows) != 2 || done["CPUPerc"] != "0.00%" || done["MemUsage"] != "0B / 0B" || done["PIDs"] != "0" {
		t.Errorf("stats of one that has ended: %v", rows)
	}
	if rows = e.stats("-a"); len(rows) != 3 {
		t.Errorf("stats -a: %v", rows)
	}
	e.Fails(1, "no such sandbox", "stats", "--no-stream", "busy", "nobody")
	e.Fails(1, "Nothing", "stats", "--format", "{{.Nothing}}")

	p := e.Start("stats", "--format", "{{.Name}}", "busy")
	p.Expect("busy\nbusy\n")
	e.OK("rm", "-f", "busy")
	if r := p.Wait(); r.Code != 0 || r.Err != "" {
		t.Errorf("stats of a sandbox that was removed: status %d, %q", r.Code, r.Err)
	}
}

// TestLimitsWithoutCgroup: what cannot be limited is refused, with the reason.
func TestLimitsWithoutCgroup(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	if e.OK("info", "-f", "{{.CgroupDriver}}") != "none" {
		t.Skip("there is a cgroup for sandboxes")
	}
	for _, flags := range [][]string{{"-m", "64m"}, {"--cpus", "1"}, {"--pids-limit", "10"}, {"--cpuset-cpus", "0"}} {
		e.Fails(125, "there is no cgroup for sandboxes", append(append([]string{"run", "--rm"}, flags...), "host", "true")...)
		e.Fails(125, "there is no cgroup for sandboxes", append(append([]string{"create"}, flags...), "host", "true")...)
	}
	e.Is("", "ps", "-aq")
	e.OK("run", "-d", "--name", "box", "host", "sleep", "1000")
	e.Fails(1, "there is no cgroup for sandboxes", "pause", "box")
	e.Fails(1, "there is no cgroup for sandboxes", "update", "-m", "64m", "box")
	e.Fails(1, "the sandbox is not paused", "unpause", "box")
	if info := e.OK("info"); !strings.Contains(info, "WARNING: No resource limits: ") {
		t.Errorf("info does not say that limits are missing:\n%s", info)
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.limitable()
	image := e.Busybox()
	e.OK("run", "-d", "--name", "box", image, "sh", "-c", `trap 'echo term; exit 7' TERM; n=0; while :; do n=$((n+1)); echo $n >/n; sleep 0.01; done`)
	e.Eventually("it counts", func() bool { return e.Run("exec", "box", "test", "-s", "/n").Code == 0 })
	n := e.OK("inspect", "-f", "{{.GraphDriver.Data.UpperDir}}", "box") + "/n"
	count := func() string {
		text, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	e.Is("box", "pause", "box")
	e.Is("paused true true", "inspect", "-f", "{{.State.Status}} {{.State.Paused}} {{.State.Running}}", "box")
	if status := e.OK("ps", "--format", "{{.Status}}"); !strings.HasPrefix(status, "Up ") || !strings.HasSuffix(status, " (Paused)") {
		t.Errorf("ps says %q", status)
	}
	e.Is("box", "ps", "--filter", "status=paused", "--format", "{{.Names}}")
	before := count()
	e.Fails(1, "the sandbox is paused", "exec", "box", "true")
	e.Fails(1, "the sandbox is paused", "attach", "box")
	e.Fails(1, "the sandbox is paused", "start", "box")
	e.Fails(1, "the sandbox is paused already", "pause", "box")
	e.stats("box")
	if after := count(); before != after {
		t.Errorf("it counted from %s to %s while it was paused", before, after)
	}
	// Another supervisor knows too.
	e.fell(e.roles()["supervisor"][0])
	e.Is("paused", "inspect", "-f", "{{.State.Status}}", "box")
	e.Is("box", "unpause", "box")
	e.Fails(1, "the sandbox is not paused", "unpause", "box")
	e.Is("running", "inspect", "-f", "{{.State.Status}}", "box")
	before = count()
	e.Eventually("it goes on", func() bool { return count() != before })

	e.OK("pause", "box")
	e.OK("stop", "box")
	e.Is("exited 7 false", "inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Paused}}", "box")
	e.OK("start", "box")
	e.OK("pause", "box")
	e.OK("kill", "box")
	e.Is("137", "wait", "box")
	e.OK("start", "box")
	e.OK("pause", "box")
	e.OK("rm", "-f", "box")
	e.Is("", "ps", "-aq")
	e.Fails(1, "the sandbox is not running", "pause", e.OK("create", image, "true"))
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.limitable("memory", "cpu", "pids")
	image := e.Busybox()
	e.OK("run", "-d", "--name", "box", "-m", "64m", "--pids-limit", "50", image, "sleep", "1000")
	holds := func(file, want string) {
		t.Helper()
		e.Is(want, "exec", "box", "cat", "/sys/fs/cgroup/"+file)
	}
	holds("memory.max", "67108864")
	holds("pids.max", "50")
	e.Is("box", "update", "-m", "128m", "--cpus", "0.5", "box")
	for range 2 {
		holds("memory.max", "134217728")
		holds("cpu.max", "50000 100000")
		holds("pids.max", "50")
		e.OK("restart", "-t", "0", "box")
	}
	e.Is("134217728 268435456 500000000 50", "inspect", "-f",
		"{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}", "box")
	if _, limit, _ := strings.Cut(e.stats("box")["box"]["MemUsage"], " / "); limit != "128MiB" {
		t.Errorf("stats shows a limit of %q", limit)
	}
	e.OK("update", "--pids-limit", "0", "-m", "0", "box")
	holds("pids.max", "max")
	holds("memory.max", "max")
	e.Is("0 0", "inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}", "box")
	e.Fails(1, "6 MB", "update", "-m", "1m", "box")
	e.Fails(1, "--cpus", "update", "--cpu-quota", "20000", "box")
	holds("memory.max", "max")
	holds("cpu.max", "50000 100000")

	e.OK("stop", "-t", "0", "box")
	e.OK("update", "--pids-limit", "7", "box")
	e.OK("start", "box")
	holds("pids.max", "7")
	e.Fails(1, "no such sandbox", "update", "-m", "64m", "nobody")
}
