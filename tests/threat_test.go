package tests

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The names of these tests count the lines of THREATS: the attacks that a sandbox
// has to survive.

func hash(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// A program finds the binary of sbx as /proc/PID/exe of its first process or of
// one that enters, and overwrites it. CVE-2019-5736.
func TestThreat01BinaryCannotBeOverwritten(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	before := hash(t, e.Instance.Sbx())
	none(t, "run", e.probe(nil, "host", "exe"))
	none(t, "run --init", e.probe([]string{"--init"}, "host", "exe"))
	none(t, "run --init --privileged", e.probe([]string{"--init", "--privileged"}, "host", "exe"))

	image := e.hostile("selves", link("self", "/proc/self/exe"), file("script", "#!/proc/self/exe\n"))
	for _, program := range []string{"/self", "/script", "/proc/self/exe", "/proc/1/exe", "/proc/thread-self/exe"} {
		for _, flags := range [][]string{nil, {"--init"}, {"--entrypoint", program}} {
			e.Run(append(append([]string{"run", "--rm"}, flags...), image, program, "--version")...)
		}
	}
	if hash(t, e.Instance.Sbx()) != before {
		t.Error("the binary of sbx has changed")
	}
	e.Is("ok", "run", "--rm", image, "echo", "ok")
}

// A descriptor that was left open would be a directory of the host under
// /proc/self/fd, and a working directory. CVE-2024-21626.
func TestThreat02WorkDirByDescriptor(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.hostile("fds", link("fd", "/proc/self/fd"), link("one", "/proc/1/cwd"), link("self", "/proc/self/root"))
	var dirs []string
	for n := range 16 {
		for _, prefix := range []string{"/proc/self/fd/", "/proc/1/fd/", "/fd/", "/proc/thread-self/fd/"} {
			dirs = append(dirs, prefix+strconv.Itoa(n)+"/../../..")
		}
	}
	dirs = append(dirs, "/one/../../..", "/self/../..", "/proc/1/root", "/proc/self/cwd")
	e.OK("run", "-d", "--name", "box", image, "sleep", "1000")
	for _, dir := range dirs {
		for _, args := range [][]string{{"run", "--rm", "-w", dir, image}, {"exec", "-w", dir, "box"}} {
			// The host's home is what gives the host's root away.
			r := e.Run(append(args, "sh", "-c", "[ -e ./"+e.Home+" ] || [ -e ."+e.Home+" ] && echo escaped")...)
			if strings.Contains(r.Out, "escaped") {
				t.Errorf("%q: a working directory of the host", args)
			}
		}
	}
}

// CVE-2022-27649 and its kin: capabilities that a program could pass on.
func TestThreat03NothingInheritable(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	fields := func(out string) map[string]string {
		m := map[string]string{}
		for line := range strings.Lines(out) {
			key, value, _ := strings.Cut(line, ":")
			m[key] = strings.TrimSpace(value)
		}
		return m
	}
	const zero = "0000000000000000"
	for _, flags := range [][]string{nil, {"--cap-add", "ALL"}, {"--privileged"}, {"--init"}} {
		for _, user := range []string{"0", "1000", "alice"} {
			name := strings.Trim(strings.Join(flags, ""), "-") + "-u" + user
			args := append([]string{"run", "-d", "--name", "b" + strings.ReplaceAll(name, " ", "")}, flags...)
			id := e.OK(append(args, "-u", user, image, "sleep", "1000")...)
			outs := map[string]string{
				"run":             e.OK(append(append([]string{"run", "--rm"}, flags...), "-u", user, image, "grep", "^Cap", "/proc/self/status")...),
				"exec":            e.OK("exec", "-u", user, id, "grep", "^Cap", "/proc/self/status"),
				"exec of another": e.OK("exec", "-u", "12:34", id, "grep", "^Cap", "/proc/self/status"),
			}
			for how, out := range outs {
				f := fields(out)
				if f["CapInh"] != zero || f["CapAmb"] != zero {
					t.Errorf("%s %s: CapInh %s, CapAmb %s", how, name, f["CapInh"], f["CapAmb"])
				}
				if (user != "0" || how == "exec of another") && (f["CapEff"] != zero || f["CapPrm"] != zero) {
					t.Errorf("%s %s: CapEff %s, CapPrm %s", how, name, f["CapEff"], f["CapPrm"])
				}
			}
			e.OK("rm", "-f", id)
		}
	}
}

// A word that is no user must not become one, least of all root. CVE-2026-30892,
// CVE-2024-40635.
func TestThreat04UsersAreParsedStrictly(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("run", "-d", "--name", "box", image, "sleep", "1000")
	for _, user := range []string{"1000a", "-1", "4294967295", "4294967296", "18446744073709551616", "nosuch", "0x0", " ", "0 ", " 0", "+0",
		"1000:", ":", "1000:nosuch", "1000:-1", "1000:4294967295", "alice:0x0", "0:0:0", "root\n", "alice\x00", "1e3", "٠", "*", "/", "root:x"} {
		if strings.ContainsRune(user, 0) {
			continue // no argument can hold it
		}
		for _, args := range [][]string{{"exec", "-u", user, "box", "id", "-u"}, {"run", "--rm", "-u", user, image, "id", "-u"}} {
			if r := e.Run(args...); r.Code < 125 || r.Out != "" || r.Err == "" {
				t.Errorf("%q: %+v", args, r)
			}
		}
	}
	// A number is that number, whatever the image calls its root.
	image = e.hostile("liars", file("etc/passwd", "1000:x:0:0::/root:/bin/sh\nroot:x:0:0::/root:/bin/sh\nbroken:x:\nhuge:x:4294967296:0::/:/bin/sh\nminus:x:-1:-1::/:/bin/sh\n"),
		file("etc/group", "1000:x:0:\nroot:x:0:1000\n"))
	e.Is("1000", "run", "--rm", "-u", "1000", image, "awk", "/^Uid/{print $2}", "/proc/self/status")
	e.Is("1000 1000 ", "run", "--rm", "-u", "1000:1000", image, "awk", "/^[UG]id/{printf \"%s \", $2}", "/proc/self/status")
	for _, user := range []string{"broken", "huge", "minus"} {
		if r := e.Run("run", "--rm", "-u", user, image, "id", "-u"); r.Code < 125 || r.Out != "" {
			t.Errorf("-u %s: %+v", user, r)
		}
	}
	// The files of an image can be anything: CVE-2024-9676.
	for name, entry := range map[string]string{"link": "/proc/self/environ", "up": "../../../../../../etc/passwd", "device": "/dev/zero"} {
		image = e.hostile("passwd-"+name, link("etc/passwd", entry))
		if r := e.Run("run", "--rm", "-u", os.Getenv("USER"), image, "id", "-u"); r.Code < 125 || r.Out != "" {
			t.Errorf("/etc/passwd is a link to %s: %+v", entry, r)
		}
	}
}

func TestThreat04ExecHasNothingOfTheHost(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	e.OK("run", "-d", "--name", "box", "-e", "GIVEN=1", image, "sleep", "1000")
	c := e.Command(t.Context(), "exec", "box", "sh", "-c", "env; id -G")
	c.Env = append(c.Env, "SECRET=1", "LD_PRELOAD=", "SSH_AUTH_SOCK=/x", "GODEBUG=x=1", "GOMAXPROCS=1")
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		name, _, isVar := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "PATH", "HOSTNAME", "HOME", "GIVEN", "PWD", "SHLVL", "0":
		default:
			t.Errorf("exec has %q (variable: %v)", strings.TrimSpace(line), isVar)
		}
	}
}

// Whatever is being set up inside holds more than a program may have: it cannot
// be looked into, nor traced. CVE-2016-9962, CVE-2020-5291.
func TestThreat05SetUpIsOpaque(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	for name, flags := range map[string][]string{"usual": nil, "root": {"-u", "0"}, "init": {"--init"}, "privileged": {"-u", "0", "--privileged"}} {
		t.Run(name, func(t *testing.T) {
			run := append([]string{"run", "-i", "--name", "hunter-" + name}, e.probeFlags("hunt")...)
			p := e.Start(append(append(run, flags...), "host", probeTarget, "/tmp/stop")...)
			box := "hunter-" + name
			e.Eventually("it runs", func() bool { return e.Run("exec", box, "true").Code == 0 })
			var all sync.WaitGroup
			for range 2 {
				all.Go(func() {
					for range 25 {
						if r := e.Run("exec", "-e", "SECRET=1", box, "true"); r.Code != 0 {
							t.Errorf("exec: %+v", r)
						}
					}
				})
			}
			all.Wait()
			for range 5 { // others that share its processes
				e.Run("run", "--rm", "--pid", "container:"+box, "host", "true")
			}
			e.OK("exec", box, "touch", "/tmp/stop")
			r := p.Wait()
			none(t, "a program inside got", e.achieved(r))
			e.OK("rm", box)
		})
	}
}

// A program that traces others, and does not let them go, cannot keep sbx from
// ending its sandbox.
func TestThreat05TracerCannotStay(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	run := append([]string{"run", "-d", "--name", "tracer"}, e.probeFlags("trace")...)
	e.OK(append(run, "host", probeTarget)...)
	e.Eventually("it traces", func() bool { return e.Run("logs", "tracer").Out == "tracing\n" })
	var held []*Proc
	for range 4 {
		held = append(held, e.Start("exec", "tracer", "sleep", "0.01"))
	}
	joined := e.Start("run", "--rm", "--name", "joined", "--pid", "container:tracer", "host", "sleep", "0.01")
	e.OK("exec", "-d", "tracer", "sleep", "1000")
	e.OK("ps")
	e.Is("ok", "run", "--rm", "host", "echo", "ok")
	e.OK("stop", "-t", "1", "tracer")
	e.OK("rm", "tracer")
	for _, p := range append(held, joined) {
		p.Wait()
	}
}

// Others on the machine must not read, or execute, what images contain.
// CVE-2021-41091.
func TestThreat19DirectoriesArePrivate(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Data, e.Instance.Run = filepath.Join(e.Root, "d/data"), filepath.Join(e.Root, "r/run")
	for _, dir := range []string{e.Data, e.Instance.Run} {
		if err := os.Mkdir(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) {
		// A generous umask is no excuse.
		c := exec.CommandContext(t.Context(), "sh", append([]string{"-c", `umask 0; exec "$@"`, "sh", e.Instance.Sbx()}, args...)...)
		c.Env, c.Dir = e.Env(), e.Home
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	run("run", "--rm", "host", "true")
	run("run", "-d", "--name", "box", "host", "sh", "-c", "echo secret; exec sleep 1000")
	for _, dir := range []string{e.Data, e.Instance.Run} {
		st, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v, want 0700", dir, st.Mode().Perm())
		}
	}
	for _, path := range []string{"sock", "lock"} {
		st, err := os.Stat(filepath.Join(e.Instance.Run, path))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, st.Mode().Perm())
		}
	}
}

// Keys that a program pushes into its terminal must not reach the caller's shell.
// CVE-2017-5226; with rubbish in the upper half of the request, CVE-2019-10063.
func TestThreat27PushedKeysStayInside(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("run", "-d", "--name", "box", "-v", testBinary(t)+":"+probeTarget+":ro", "host", "sleep", "1000")
	run := append([]string{"run", "--rm", "-it"}, e.probeFlags("sti")...)
	for name, args := range map[string][]string{
		"run":              append(run, "host", probeTarget),
		"run --privileged": append(run, "--privileged", "host", probeTarget),
		"exec":             {"exec", "-it", "-e", probeEnv + "=sti", "box", probeTarget},
	} {
		p := e.Terminal(args...)
		p.Expect("end")
		if code := p.Wait(); code != 0 {
			t.Fatalf("%s: status %d: %q", name, code, p.out.String())
		}
		if n, err := unix.IoctlGetInt(int(p.slave.Fd()), unix.TIOCINQ); err != nil || n != 0 {
			t.Errorf("%s: %d keys wait in the caller's terminal (%v)", name, n, err)
		}
	}
}

func testBinary(t testing.TB) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// What a sandbox can choose, and sbx prints, must not command the terminal.
// CVE-2023-28101.
func TestThreat28NoEscapeSequencesInOutput(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	const evil = "\x1b]0;owned\x07\x1b[2J\u009b31m\r\u202e\x7f"
	e.OK("run", "-d", "--name", "box", "--label", "k="+evil, "--label", evil+"=v", "-e", "E="+evil, "host", "sh", "-c", "exec sleep 1000 # "+evil, evil)
	e.OK("exec", "-d", "box", "sh", "-c", "exec -a '"+evil+"' sleep 1000 || exec sleep 1000")
	e.OK("exec", "-d", "box", "bash", "-c", "exec -a \"$0\" sleep 999", evil)
	e.Eventually("the program with the odd name runs", func() bool { return strings.Contains(e.Run("top", "box").Out, "999") })
	for _, args := range [][]string{
		{"ps", "-a", "--no-trunc"}, {"ps", "--format", "{{.Command}} {{.Labels}}", "--no-trunc"}, {"top", "box"}, {"inspect", "box"},
		{"ps", "--format", "json"}, {"inspect", "-f", "{{.Config.Cmd}} {{.Config.Labels}} {{.Args}}", "box"}, {"inspect", "-f", "{{json .Config.Labels}}", "box"},
		{"run", "--rm", "host", evil}, {"run", "--rm", "--name", evil, "host", "true"}, {"run", "--rm", evil, "true"}, {"run", "--rm", "-w", "/" + evil, "host", "true"},
		{"run", "--rm", "-u", evil, "host", "true"}, {"run", "--rm", "-v", "/" + evil + ":/mnt", "host", "true"}, {"run", "--rm", "--tmpfs", "/mnt:" + evil, "host", "true"},
		{"exec", "box", evil}, {"exec", evil, "true"}, {"rm", evil}, {"rename", "box", evil}, {"logs", evil}, {"import", "/" + evil}, {"kill", "-s", evil, "box"},
		{"ps", "--filter", evil}, {"ps", "--format", "{{" + evil}, {"wait", evil}, {"run", "--rm", "--hostname", evil, "host", "true"}, {evil}, {"run", "--" + evil},
		{"run", "--rm", "-v", e.Home + ":/usr/" + evil, "host", "true"}, {"run", "--rm", "--network", evil, "host", "true"}, {"run", "--rm", "--log-opt", evil + "=1", "host", "true"},
	} {
		r := e.Run(args...)
		for _, c := range r.Out + r.Err {
			if c != '\n' && c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u202e' {
				t.Errorf("sbx %q printed %q (stdout %q, stderr %q)", args, c, r.Out, r.Err)
				break
			}
		}
		if r.Out+r.Err == "" {
			t.Errorf("sbx %q printed nothing", args)
		}
	}
}

// What the caller's shell has open, or in its environment, is not the program's.
func TestThreat43NothingIsInherited(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	root, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	e.OK("run", "-d", "--name", "box", "host", "sleep", "1000")
	for name, args := range map[string][]string{
		"run": {"run", "--rm", "host"}, "run --init": {"run", "--rm", "--init", "host"}, "run without --rm": {"run", "host"}, "exec": {"exec", "box"},
	} {
		outside := func(program ...string) string {
			c := e.Command(t.Context(), append(slices.Clone(args), program...)...)
			c.ExtraFiles = []*os.File{w, root, r, root, w, root, w, root, root}
			c.Env = append(c.Env, "SSH_AUTH_SOCK=/run/secret", "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/secret", "XDG_RUNTIME_DIR="+e.Instance.Run,
				"GPG_AGENT_INFO=/run/secret", "DISPLAY=:0", "WAYLAND_DISPLAY=wayland-0", "XAUTHORITY=/run/secret", "DOCKER_HOST=unix:///run/secret",
				"LD_LIBRARY_PATH=/run/secret", "AWS_SECRET_ACCESS_KEY=secret")
			out, err := c.Output()
			if err != nil {
				t.Fatal(err)
			}
			return string(out)
		}
		// ls has the directory open itself.
		if out := outside("ls", "/proc/self/fd"); out != "0\n1\n2\n3\n" {
			t.Errorf("%s: descriptors %q", name, out)
		}
		env := outside("env")
		for _, word := range []string{"secret", "XDG_", "DISPLAY", "SBX_", "DBUS"} {
			if strings.Contains(env, word) {
				t.Errorf("%s: %s is in the environment:\n%s", name, word, env)
			}
		}
	}
}

func TestThreat43AgentsAreHidden(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	// Sockets where agents have them: in the home directory, in /tmp, beside ours.
	tmp, err := os.MkdirTemp("/tmp", "ssh-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(tmp)
	for _, dir := range []string{e.Home, tmp, e.Instance.Run} {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		path := filepath.Join(dir, "agent")
		if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
		for _, flags := range [][]string{nil, {"--privileged"}, {"--network", "host"}} {
			args := append(append([]string{"run", "--rm"}, flags...), "host", "sh", "-c", "ls -d "+path+" 2>/dev/null; ls -A /run/user 2>/dev/null; true")
			if out := e.OK(args...); out != "" {
				t.Errorf("%q shows %q", flags, out)
			}
		}
	}
}

// A flag that cannot be honoured is an error, and nothing has been made by then.
func TestThreat46NothingIsWeakenedSilently(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	image := e.Busybox()
	for _, flags := range []string{
		"--memory 1k", "-m lots", "--cpus 100000", "--cpu-shares -1", "-c x", "--pids-limit many", "--memory-swap 1g", "--blkio-weight 1", "--cpuset-cpus 100000", "--cpuset-mems x",
		"--cpu-quota 1", "--cpus 1 --cpu-period 1000", "--device-read-bps /no/such:1m", "--memory-swappiness 10", "--oom-kill-disable",
		"--device /dev/null:r", "--device /etc/passwd", "--device vendor.example/class=name", "--gpus all", "-p 80:80/sctp", "-p 1-3:1-2", "--network no-such-net", "--network container:x", "--network host:allow-host-loopback",
		"--network pasta:--no-such", "--network lab:mtu=1500", "--network none -p 8080:80", "--add-host a:b:c", "--ip 10.0.0.1", "--mac-address 01:00:00:00:00:01", "--userns host", "--userns auto", "--userns keep-id:size=1", "--userns keep-id:uid=-1", "--sysctl a=b", "--sysctl vm.swappiness=1", "--network host --sysctl net.core.somaxconn=1", "--group-add keep-groups --group-add 1", "--group-add no-such",
		"--runtime runc", "--shm-size -1", "--storage-opt size=1g", "--security-opt apparmor=x", "--security-opt label=disable", "--security-opt no-such",
		"--security-opt seccomp=/no/such/file", "--security-opt seccomp=", "--cap-add NO_SUCH", "--cap-drop CAP_NO_SUCH", "--ipc container:x", "--pid container:no-such-box",
		"--pid no-such", "--uts container:x", "--restart always:1", "--restart no-such", "--restart always --rm", "--log-driver syslog", "--log-opt a=b", "--health-retries -1", "--health-interval 1us", "--no-healthcheck --health-cmd true", "--volumes-from x", "-v n:/mnt",
		"-v mnt", "-v n-:/mnt:rslave", "-v name:/mnt:O,upperdir=/tmp", "-v name:/mnt:O,slave", "-v /etc/passwd:/mnt:O", "-v /etc:/mnt:rshared", "-v /etc:/mnt:no-such", "-v /no/such/dir:/mnt", "--mount type=image,target=/mnt", "--mount source=name,target=/mnt,volume-opt=type=nfs", "--mount type=bind,source=/etc,target=/mnt,bind-propagation=shared",
		"--mount type=bind,source=/etc", "--tmpfs /mnt:size=lots", "--tmpfs /mnt:no-such", "--tmpfs mnt", "--ulimit nofile", "--ulimit no-such=1", "--ulimit nofile=2:1",
		"--ulimit nofile=2000000000", "-u 100000000", "-u 4294967295", "--cgroup-parent ../x", "--cgroupns no-such", "--oom-score-adj -1001", "-q --platform linux/s390x", "-q --pull always",
		"--stop-signal NO_SUCH", "--domainname x --uts host", "--isolation hyperv", "--no-such-flag", "--annotation a=b", "--device-cgroup-rule a", "-w relative",
	} {
		for _, verb := range []string{"run", "create"} {
			args := append(append([]string{verb}, strings.Fields(flags)...), image, "true")
			if verb == "create" && (strings.HasPrefix(flags, "--ulimit nofile=2000000000") || strings.HasPrefix(flags, "-u ") || flags == "--group-add no-such") {
				continue // it is the start that fails
			}
			r := e.Run(args...)
			if r.Code != 125 || r.Out != "" || !strings.HasPrefix(r.Err, "sbx") || len(r.Err) > 500 {
				t.Errorf("sbx %q: %+v", args, r)
			}
		}
	}
	var kept []string
	for _, line := range strings.Fields(e.OK("ps", "-aq")) {
		if state := e.OK("inspect", "-f", "{{.State.Status}}", line); state != "created" {
			kept = append(kept, line+" "+state)
		}
	}
	if len(kept) > 0 {
		t.Errorf("after errors there are sandboxes that have run: %q", kept)
	}
}

// A pid that was the program's is another process's by now: it is not ours to
// signal.
func TestThreat48ReusedPidIsNotSignalled(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	id := e.OK("run", "-d", "--name", "box", "host", "sleep", "1000")
	e.Eventually("its state is saved", func() bool { return exists(filepath.Join(e.Data, "sandboxes", id, "state.json")) == nil })
	// Nobody may be left who would save that it has ended.
	for _, role := range []string{"sbx-keeper", "sbx-monitor"} {
		for _, p := range e.roles()[role] {
			e.fell(p)
		}
	}
	e.Kill()
	victim := exec.Command("sleep", "1000")
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- victim.Wait() }()
	defer func() {
		_ = victim.Process.Kill() // as the test hopes, it still runs
		<-ended
	}()
	path := filepath.Join(e.Data, "sandboxes", id, "state.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var state map[string]any
	if err := json.Unmarshal(raw, &state); err != nil {
		t.Fatal(err)
	}
	if state["state"] != "running" {
		t.Fatalf("the saved state is %s", raw)
	}
	state["pid"], state["monitor_pid"] = victim.Process.Pid, victim.Process.Pid
	if raw, err = json.Marshal(state); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := e.OK("ps", "-a"); !strings.Contains(out, "Exited") {
		t.Errorf("ps -a:\n%s", out)
	}
	e.Run("kill", "box")
	e.Run("stop", "-t", "0", "box")
	e.Run("exec", "box", "true")
	e.OK("rm", "-f", "box")
	select {
	case err := <-ended:
		t.Errorf("a process that has nothing to do with sbx was ended: %v", err)
		ended <- err
	default:
	}
	if err := victim.Process.Signal(syscall.Signal(0)); err != nil {
		t.Error(err)
	}
}

// Names come from users, scripts and other machines: none may be a path.
func TestThreat49NamesAreNoPaths(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.OK("create", "--name", "box", "host", "true")
	sentinel := filepath.Join(e.Data, "x")
	if err := os.MkdirAll(sentinel, 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(sentinel)
	for _, name := range []string{"../x", "../../data/x", "a/b", "..", ".", "/", "//", "", " ", "a b", "a\nb", "\x1b[31m", "a\x7f", "-x", "--", "_x", ".x", "ä", "*", "[0-9a-f]*",
		"x/../box", "box/", "box/.", strings.Repeat("a", 300), strings.Repeat("../", 50) + "etc"} {
		for _, args := range [][]string{
			{"run", "--rm", "--name=" + name, "host", "true"}, {"create", "--name=" + name, "host", "true"}, {"rename", "--", "box", name},
		} {
			if name == "" && args[0] != "rename" {
				continue // as if the flag were not there
			}
			if r := e.Run(args...); r.Code == 0 || r.Out != "" || r.Err == "" {
				t.Errorf("sbx %q: %+v", args, r)
			}
		}
		for _, verb := range []string{"inspect", "logs", "rm", "stop", "kill", "start", "restart", "attach", "top", "wait"} {
			args := []string{verb, "--", name}
			if r := e.Run(args...); r.Code == 0 || strings.TrimSpace(r.Out) != "" && strings.TrimSpace(r.Out) != "[]" || r.Err == "" {
				t.Errorf("sbx %q: %+v", args, r)
			}
		}
		for _, args := range [][]string{{"exec", "--", name, "true"}, {"rm", "-f", "--", name}} {
			if r := e.Run(args...); r.Code == 0 || r.Out != "" || r.Err == "" {
				t.Errorf("sbx %q: %+v", args, r)
			}
		}
	}
	if err := exists(sentinel); err != nil {
		t.Error(err)
	}
	e.Is("box", "ps", "-a", "--format", "{{.Names}}")
}
