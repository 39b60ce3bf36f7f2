package tests

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// namespaceless gives a place without user namespaces, and what it has of the user's.
func namespaceless(t *testing.T) (*jail, string) {
	Need(t, "landlock")
	e := Sbx(t)
	secret := filepath.Join(e.Home, ".ssh", "key")
	if err := os.MkdirAll(filepath.Dir(secret), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return e.jail("echo 0 >/proc/sys/user/max_user_namespaces"), secret
}

// confined runs a program under Landlock; what it says is without the notice, of which
// there must be one line.
func (j *jail) confined(args ...string) Result {
	j.t.Helper()
	r := j.Run(nil, append([]string{"run", "--rm"}, args...)...)
	notice, rest, _ := strings.Cut(r.Err, "\n")
	if !strings.HasPrefix(notice, "sbx: NOTICE: ") || !strings.Contains(notice, "no sandbox") || !strings.Contains(notice, "max_user_namespaces") {
		j.t.Errorf("sbx run %q: %+v has no notice", args, r)
	}
	r.Err = rest
	return r
}

// Where no user namespace can be made, a program of the host runs nevertheless, with
// less around it, and says so.
func TestLandlockRunsPrograms(t *testing.T) {
	t.Parallel()
	j, secret := namespaceless(t)
	work := filepath.Join(j.Home, "work")
	if err := os.MkdirAll(work, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want Result
	}{
		"status":      {[]string{"host", "sh", "-c", "echo out; echo err >&2; exit 7"}, Result{"out\n", "err\n", 7}},
		"signal":      {[]string{"host", "sh", "-c", "kill -9 $$"}, Result{"", "", 137}},
		"environment": {[]string{"-e", "A=b c", "host", "sh", "-c", "echo $A$SBX_DATA; test $HOME = $PWD && test -w $TMPDIR && test ! $HOME = " + j.Home + " && id -u"}, Result{fmt.Sprintf("b c\n%d\n", os.Getuid()), "", 0}},
		"own files":   {[]string{"-v", work + ":" + work, "-w", work, "host", "sh", "-c", "echo x >f; chmod 640 f; touch -d @1000 f; cp -p f g; stat -c '%a %Y' g; mkdir d; mv f d; chmod -R u+w d; ls"}, Result{"640 1000\nd\ng\n", "", 0}},
		"entrypoint":  {[]string{"--entrypoint", "/bin/echo", "--read-only", "host", "x"}, Result{"x\n", "", 0}},
		"input":       {[]string{"-i", "host", "cat"}, Result{}},
		"left behind": {[]string{"host", "sh", "-c", "setsid sleep 1000 & (setsid sh -c 'sleep 1000; :' &) ; echo x"}, Result{"x\n", "", 0}},
	} {
		if r := j.confined(c.args...); r != c.want {
			t.Errorf("%s: %+v, want %+v", name, r, c.want)
		}
	}
	for code, program := range map[int]string{127: "no-such-program", 126: secret} {
		if r := j.Run(nil, "run", "host", program); r.Code != code || !strings.Contains(r.Err, filepath.Base(program)) {
			t.Errorf("%s: %+v, want status %d", program, r, code)
		}
	}
	for _, p := range j.Processes() {
		t.Errorf("left: %s", p)
	}
	if left, err := filepath.Glob(j.Instance.Run + "/confined-*"); err != nil || len(left) > 0 {
		t.Errorf("%v %v", left, err)
	}
}

// What takes namespaces is an error with the reason, and so is an image, with the fix.
func TestLandlockRefusesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	j, _ := namespaceless(t)
	for _, flags := range [][]string{{"-d"}, {"--name", "x"}, {"-p", "80"}, {"-m", "64m"}, {"--pids-limit", "5"}, {"--network", "pasta"}, {"--network", "bridge"},
		{"-u", "0"}, {"-h", "x"}, {"--tmpfs", "/x"}, {"-v", "vol:/x"}, {"-v", j.Home + ":/x"}, {"-v", j.Home + ":" + j.Home + ":noexec"},
		{"--privileged"}, {"--cap-add", "CHOWN"}, {"--init"}, {"--ulimit", "nofile=5"}, {"--restart", "always"}, {"-l", "a=b"}, {"--pid", "container:x"},
		{"--security-opt", "seccomp=unconfined"}, {"--userns", "keep-id"}, {"--health-cmd", "true"}, {"--cidfile", j.Home + "/id"}, {"--sig-proxy=false"},
		{"--dns", "1.1.1.1"}, {"--add-host", "a:1.1.1.1"}, {"--stop-timeout", "3"}, {"--log-opt", "max-file=2"}, {"--volumes-from", "x"},
		{"-v", j.Home + ":" + j.Home, "-v", j.Home + "/.ssh:" + j.Home + "/.ssh:ro"}, {"-w", j.Home}, {"--detach-keys", "ctrl-x"}} {
		r := j.Run(nil, append(append([]string{"run"}, flags...), "host", "echo", "ran")...)
		if r.Code != 125 || strings.Contains(r.Out, "ran") || strings.Count(r.Err, "\n") != 1 || strings.Contains(r.Err, "create namespaces") {
			t.Errorf("%q: %+v", flags, r)
		}
	}
	for _, args := range [][]string{{"run", "busybox", "true"}, {"ps"}, {"exec", "x", "true"}} {
		if r := j.Run(nil, args...); r.Code == 0 || !strings.Contains(r.Err, "sysctl -w user.max_user_namespaces=") || strings.Contains(r.Err, "NOTICE") {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

// Where no new privileges can be had the namespaces are of no use: the same.
func TestLandlockWithoutNewPrivileges(t *testing.T) {
	t.Parallel()
	Need(t, "landlock")
	e := Sbx(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, "setpriv", "--no-new-privs", e.Instance.Sbx(), "run", "--rm", "host", "sh", "-c", "echo fine; ls "+e.Home)
	c.Env, c.Dir = e.Env(), e.Home
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "fine\n") || !strings.Contains(string(out), "NOTICE") || !strings.Contains(string(out), "Permission denied") {
		t.Errorf("%v: %s", err, out)
	}
}

// A terminal of its own is between the program and the caller's.
func TestLandlockTerminal(t *testing.T) {
	t.Parallel()
	Need(t, "landlock", "pty")
	e := Sbx(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	c := exec.CommandContext(ctx, "setpriv", "--no-new-privs", e.Instance.Sbx(), "run", "--rm", "-it", "host", "bash", "--norc")
	c.Env, c.Dir = e.Env(), e.Home
	p := onTerminal(t, c)
	p.Expect("NOTICE")
	p.Type("stty -echo; PS1=; echo re''ady; stty size\r")
	p.Expect("ready\r\n24 80")
	if !p.Raw() {
		t.Error("the caller's terminal is not in raw mode while the program runs")
	}
	p.Resize(30, 100)
	p.Type("until stty size </dev/tty | grep 30.100; do sleep 0.1; done\r")
	p.Expect("30 100")
	p.Type("sh -c 'echo go''ing; exec sleep 1000'\r")
	p.Expect("going")
	p.Type("\x03")
	p.Type("echo st''atus=$?\r")
	p.Expect("status=130")
	p.Type("sh -c 'echo wa''iting; exec sleep 1000'\r")
	p.Expect("waiting")
	p.Type("\x1a")
	p.Expect("Stopped")
	p.Type("ls -l /proc/self/fd/0\r")
	p.Expect("/dev/pts/")
	if err := c.Process.Signal(syscall.SIGWINCH); err != nil {
		t.Error(err)
	}
	p.Type("exec sh -c 'exit 7'\r")
	if code := p.Wait(); code != 7 {
		t.Errorf("status %d, want 7", code)
	}
	if p.Raw() {
		t.Error("the caller's terminal stays in raw mode")
	}
}

// The attacks of a program that has the user's own uid, and no namespace around it.
func TestLandlockKeepsIn(t *testing.T) {
	t.Parallel()
	j, secret := namespaceless(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(secret)
	work, kept := filepath.Join(j.Home, "work"), filepath.Join(j.Home, "kept")
	for _, d := range []string{work, kept} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(kept, "file")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"link", "up"} {
		if err := os.Symlink(map[string]string{"link": secret, "up": "../.ssh"}[link], filepath.Join(work, link)); err != nil {
			t.Fatal(err)
		}
	}
	victim := exec.Command("sleep", "1000")
	victim.Dir = dir
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	abstract := "@sbx-test-" + strconv.Itoa(os.Getpid())
	var listeners []net.Listener
	for _, name := range []string{abstract, filepath.Join(work, "s")} {
		l, err := net.Listen("unix", name)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		listeners = append(listeners, l)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	before, err := os.Stat(secret)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-e", probeEnv + "=confined", "-v", self + ":" + self + ":ro", "-v", work + ":" + work, "-v", kept + ":" + kept + ":ro", "host", self,
		secret, strconv.Itoa(victim.Process.Pid), abstract, work, file, tcp.Addr().String()}
	r := j.confined(args...)
	none(t, "confined", j.achieved(r))
	if err := victim.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the other process: %v", err)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := victim.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the other process ended before: %v", err)
	}
	for path, want := range map[string]string{secret: "secret\n", file: "kept"} {
		st, err := os.Stat(path)
		text, errRead := os.ReadFile(path)
		if err != nil || errRead != nil || string(text) != want || st.Mode() != before.Mode() || path == secret && st.ModTime() != before.ModTime() {
			t.Errorf("%s is %q, %v", path, text, st)
		}
	}
	// The same with a network: what is reached is what was asked for.
	args = append([]string{"--network", "host"}, args...)
	if lines := j.achieved(j.confined(args...)); len(lines) != 1 || lines[0] != "connected by tcp" {
		t.Errorf("with a network: %q", lines)
	}
}

// attackConfined prints what it can get at.
func attackConfined(args []string) {
	secret, pid, abstract, work, kept, tcp := args[0], args[1], args[2], args[3], args[4], args[5]
	target, _ := strconv.Atoi(pid)
	for _, path := range []string{secret, work + "/link", work + "/up/key", "/proc/self/root" + secret, "/proc/" + pid + "/root" + secret, "/proc/" + pid + "/cwd/key",
		"/proc/" + pid + "/environ", "/proc/" + pid + "/mem", "/proc/" + pid + "/maps", "/proc/" + strconv.Itoa(os.Getppid()) + "/mem", "/proc/" + strconv.Itoa(os.Getppid()) + "/environ",
		"/dev/tty", "/dev/ptmx", "/dev/shm", "/run", "/tmp"} {
		for _, flags := range []int{unix.O_RDONLY, unix.O_WRONLY, unix.O_RDONLY | unix.O_TRUNC} {
			report("opened "+path, func() error { return opens(path, flags) })
		}
	}
	report("wrote /tmp", func() error { return os.WriteFile("/tmp/sbx-confined-attack", nil, 0o600) })
	report("wrote what is kept", func() error { return opens(kept, unix.O_WRONLY) })
	report("truncated by opening", func() error { return opens(kept, unix.O_RDONLY|unix.O_TRUNC) })
	for _, path := range []string{secret, work + "/link", kept} {
		metadata(path, work)
	}
	fd, err := unix.Open(kept, unix.O_RDONLY, 0)
	if err != nil {
		fmt.Println("cannot read what is kept:", err)
	}
	report("fchmod", func() error { return unix.Fchmod(fd, 0o777) })
	report("chmod by descriptor", func() error { return unix.Chmod("/proc/self/fd/"+strconv.Itoa(fd), 0o777) })
	report("fsetxattr", func() error { return unix.Fsetxattr(fd, "user.x", []byte("x"), 0) })
	report("futimens", func() error { return unix.UtimesNanoAt(fd, "", nil, unix.AT_EMPTY_PATH) })
	report("killed", func() error { return unix.Kill(target, unix.SIGTERM) })
	report("killed its parent", func() error { return unix.Kill(os.Getppid(), 0) })
	report("traced", func() error { return unix.PtraceAttach(target) })
	report("read memory", func() error {
		var b [8]byte
		_, err := unix.ProcessVMReadv(target, []unix.Iovec{{Base: &b[0], Len: 8}}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
		return err
	})
	report("limited another", func() error { return unix.Prlimit(target, unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 5, Max: 5}, nil) })
	kernelParts()
	sockets(abstract, work+"/s", tcp)
	for fd := 3; fd < 1024; fd++ {
		link, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
		if err == nil && (strings.Contains(link, "seccomp") || strings.Contains(link, "landlock") || strings.Contains(link, "request")) {
			fmt.Println("has", link)
		}
	}
}

func report(what string, do func() error) {
	if do() == nil {
		fmt.Println(what)
	}
}

func opens(path string, flags int) error {
	fd, err := unix.Open(path, flags|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err == nil {
		unix.Close(fd)
	}
	return err
}

// metadata tries what Landlock alone does not guard.
func metadata(path, work string) {
	report("truncated "+path, func() error { return unix.Truncate(path, 0) })
	report("chmod "+path, func() error { return unix.Chmod(path, 0o777) })
	report("fchmodat "+path, func() error { return unix.Fchmodat(unix.AT_FDCWD, path, 0o777, 0) })
	report("fchmodat2 "+path, func() error { return unix.Fchmodat(unix.AT_FDCWD, path, 0o777, unix.AT_SYMLINK_NOFOLLOW) })
	report("chown "+path, func() error { return unix.Chown(path, -1, os.Getgid()) })
	report("utimensat "+path, func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, path, nil, 0) })
	report("utimes "+path, func() error { return unix.Utimes(path, make([]unix.Timeval, 2)) })
	report("setxattr "+path, func() error { return unix.Setxattr(path, "user.x", []byte("x"), 0) })
	report("linked "+path, func() error {
		return unix.Linkat(unix.AT_FDCWD, path, unix.AT_FDCWD, work+"/hard", unix.AT_SYMLINK_FOLLOW)
	})
	if path != work+"/link" {
		report("moved "+path, func() error { return os.Rename(path, work+"/moved") })
		report("removed "+path, func() error { return os.Remove(path) })
	}
	report("made a file beside "+path, func() error { return os.WriteFile(filepath.Dir(path)+"/../beside", nil, 0o600) })
}

// kernelParts tries what the profile has to keep away.
func kernelParts() {
	params := make([]byte, 120)
	for name, call := range map[string][4]uintptr{
		"io_uring":        {unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params[0]))},
		"userfaultfd":     {unix.SYS_USERFAULTFD, unix.O_CLOEXEC | 1},
		"keyctl":          {unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, ^uintptr(3), 1},
		"unshare":         {unix.SYS_UNSHARE, unix.CLONE_NEWUSER},
		"bpf":             {unix.SYS_BPF, 0, uintptr(unsafe.Pointer(&params[0])), 120},
		"perf_event_open": {unix.SYS_PERF_EVENT_OPEN, uintptr(unsafe.Pointer(&params[0])), 0, 0},
		"shmget":          {unix.SYS_SHMGET, 0, 4096, 0o1600},
		"semget":          {unix.SYS_SEMGET, 0, 1, 0o1600},
		"msgget":          {unix.SYS_MSGGET, 0, 0o1600, 0},
	} {
		report(name, func() error {
			_, _, errno := unix.Syscall6(call[0], call[1], call[2], call[3], ^uintptr(0), 0, 0)
			if errno == 0 {
				return nil
			}
			return errno
		})
	}
	if v, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); v != 1 {
		fmt.Println("may gain privileges", err)
	}
}

// sockets tries to reach somebody.
func sockets(abstract, path, tcp string) {
	for _, name := range []string{abstract, path} {
		report("connected to "+name, func() error {
			c, err := net.Dial("unix", name)
			if err == nil {
				c.Close()
			}
			return err
		})
	}
	report("a pair that can send anywhere", func() error {
		_, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
		return err
	})
	for name, socket := range map[string][3]int{"vsock": {unix.AF_VSOCK, unix.SOCK_STREAM, 0}, "netfilter": {unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER},
		"packet": {unix.AF_PACKET, unix.SOCK_RAW, 0}, "unix datagram": {unix.AF_UNIX, unix.SOCK_DGRAM, 0}} {
		report(name, func() error {
			_, err := unix.Socket(socket[0], socket[1], socket[2])
			return err
		})
	}
	report("connected by tcp", func() error {
		c, err := net.Dial("tcp", tcp)
		if err == nil {
			c.Close()
		}
		return err
	})
}

// Where user namespaces can be made and are of no use, as Ubuntu's AppArmor has it: in
// them nothing may be mounted.
func TestLandlockWhereNothingCanBeMounted(t *testing.T) {
	t.Parallel()
	Need(t, "landlock", "userns")
	e := Sbx(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c := exec.CommandContext(ctx, "unshare", append([]string{"--user", "--mount", "--keep-caps", fmt.Sprintf("--map-user=%d", os.Getuid()), fmt.Sprintf("--map-group=%d", os.Getgid()),
			"env", probeEnv + "=mountless", self, e.Instance.Sbx()}, args...)...)
		c.Env, c.Dir = e.Env(), e.Home
		out, err := c.CombinedOutput()
		return string(out), err
	}
	if out, err := run("run", "--rm", "host", "echo", "fine"); err != nil || !strings.HasPrefix(out, "sbx: NOTICE: create namespaces: mount ") || !strings.HasSuffix(out, "\nfine\n") {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := run("run", "--rm", "busybox", "true"); err == nil || !strings.HasPrefix(out, "sbx: create namespaces: mount ") || !strings.Contains(out, "security module") {
		t.Errorf("%v: %s", err, out)
	}
}

// mountless forbids all mounts to the program that it becomes: Landlock does when it has
// to do with files at all. That takes a capability, which is given up then.
func mountless(args []string) {
	runtime.LockOSThread()
	attr := unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_MAKE_BLOCK}
	rules, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr), 0)
	if errno == 0 {
		_, _, errno = unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rules, 0, 0)
	}
	if errno != 0 {
		fmt.Println("landlock:", errno)
		return
	}
	becomePowerless(args)
}
