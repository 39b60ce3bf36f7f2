package tests

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// probeEnv makes the test binary an attacker: an init function runs one of the
// attacks and the process ends. Inside a sandbox that is the whole power of the
// system calls, without a word from a C library.
const probeEnv = "SBX_TEST_PROBE"

// probeTarget is where a sandbox finds the test binary.
const probeTarget = "/tmp/probe"

// attacks run inside; they print what they have achieved, one line each, and
// "end" last. What they print besides is what the test forbids.
var attacks map[string]func(args []string)

func init() {
	name := os.Getenv(probeEnv)
	if name == "" {
		return
	}
	attacks = map[string]func([]string){
		"exe": attackExe, "hunt": attackHunt, "trace": attackTrace, "remount": attackRemount, "uncover": attackUncover,
		"spread": attackSpread, "rights": attackRights, "sti": attackInput, "exhaust": attackExhaust,
		"confined": attackConfined, "mountless": mountless, "overlayless": overlayless,
	}
	maps.Copy(attacks, networkProbes())
	attack, known := attacks[name]
	if !known {
		fmt.Println("no such attack:", name)
		os.Exit(2)
	}
	attack(os.Args[1:])
	fmt.Println("end")
	os.Exit(0)
}

// probe gives the words that run an attack in a sandbox of that image, and its
// output as lines without the last one.
func (e *Env) probe(flags []string, image, attack string, args ...string) []string {
	e.t.Helper()
	words := append([]string{"run", "--rm"}, e.probeFlags(attack)...)
	words = append(append(words, flags...), image, probeTarget)
	return e.achieved(e.Run(append(words, args...)...))
}

func (e *Env) probeFlags(attack string) []string {
	e.t.Helper()
	self, err := os.Executable()
	if err != nil {
		e.t.Fatal(err)
	}
	return []string{"-e", probeEnv + "=" + attack, "-e", "SBX_PATIENCE=" + patience.String(), "-v", self + ":" + probeTarget + ":ro"}
}

func (e *Env) achieved(r Result) []string {
	e.t.Helper()
	lines := strings.Split(strings.TrimSuffix(r.Out, "\n"), "\n")
	if last := len(lines) - 1; r.Code != 0 || lines[last] != "end" {
		e.t.Fatalf("the attack itself did not work: %+v", r)
	}
	return lines[:len(lines)-1]
}

// none reports everything that an attack has achieved.
func none(t testing.TB, what string, lines []string) {
	t.Helper()
	for _, line := range lines {
		t.Errorf("%s: %s", what, line)
	}
}

// attackExe tries to write to the binaries of all processes it sees.
func attackExe([]string) {
	for _, pid := range pids() {
		exe := "/proc/" + pid + "/exe"
		link, _ := os.Readlink(exe) // unreadable is what the test hopes for
		if !strings.Contains(link, "memfd:") {
			continue
		}
		for flags, name := range map[int]string{unix.O_WRONLY: "O_WRONLY", unix.O_RDWR | unix.O_TRUNC: "O_RDWR|O_TRUNC"} {
			if fd, err := unix.Open(exe, flags, 0); err == nil {
				unix.Close(fd)
				fmt.Println("opened", link, name)
			}
		}
		fd, err := unix.Open(exe, unix.O_RDONLY, 0)
		if err != nil {
			continue
		}
		const all = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
		if seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0); err != nil || seals&all != all {
			fmt.Printf("%s has seals %#x, %v\n", link, seals, err)
		}
		if w, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), unix.O_RDWR, 0); err == nil {
			if _, err := unix.Pwrite(w, []byte("x"), 0); err == nil {
				fmt.Println("wrote to", link)
			}
			unix.Close(w)
		}
		unix.Close(fd)
	}
}

func pids() []string {
	all, _ := filepath.Glob("/proc/[0-9]*")
	for i := range all {
		all[i] = filepath.Base(all[i])
	}
	return all
}

// attackHunt looks into every process that is being set up, until the file
// args[0] exists. Achieved is what worked on a process that, afterwards, was
// still one of sbx.
func attackHunt(args []string) {
	self := fmt.Sprint(os.Getpid())
	got, seen := map[string]bool{}, map[string]bool{}
	for {
		if _, err := os.Stat(args[0]); err == nil {
			break
		}
		for _, pid := range pids() {
			if pid == self || settingUp(pid) == "" {
				continue
			}
			seen[pid] = true
			for name, look := range looks {
				if role := settingUp(pid); look(pid) && role == settingUp(pid) && role != "" {
					got[name+" of "+role] = true
				}
			}
		}
	}
	if len(seen) == 0 {
		fmt.Println("saw no process that was being set up")
	}
	var names []string
	for name := range got {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		fmt.Println(name, "while it was being set up")
	}
}

// settingUp gives the role of a process that is not a program yet.
func settingUp(pid string) string {
	args, _ := os.ReadFile("/proc/" + pid + "/cmdline") // it may have ended
	role, _, _ := strings.Cut(string(args), "\x00")
	if !strings.HasPrefix(role, "sbx") || role == "sbx-init" {
		return ""
	}
	return role
}

var looks = map[string]func(pid string) bool{
	"environ": func(pid string) bool {
		b, err := os.ReadFile("/proc/" + pid + "/environ")
		return err == nil && len(b) > 0
	},
	"mem": func(pid string) bool {
		f, err := os.OpenFile("/proc/"+pid+"/mem", os.O_RDWR, 0)
		if err == nil {
			f.Close()
		}
		return err == nil
	},
	// That a number is listed there tells nothing yet.
	"fd":   func(pid string) bool { _, err := os.Readlink("/proc/" + pid + "/fd/0"); return err == nil },
	"root": func(pid string) bool { _, err := os.ReadDir("/proc/" + pid + "/root/"); return err == nil },
	// The same check as ptrace(2)'s, and it holds nobody up when it comes too late.
	"descriptor": func(pid string) bool {
		var n int
		if _, err := fmt.Sscan(pid, &n); err != nil {
			return false
		}
		fd, err := unix.PidfdOpen(n, 0)
		if err != nil {
			return false
		}
		defer unix.Close(fd)
		got, err := unix.PidfdGetfd(fd, 0, 0)
		if err == nil {
			unix.Close(got)
		}
		return err == nil
	},
}

// attackTrace takes hold of every other process it can, and never lets go.
func attackTrace([]string) {
	self := fmt.Sprint(os.Getpid())
	runtime.LockOSThread() // a tracer is a thread
	fmt.Println("tracing")
	for {
		for _, pid := range pids() {
			var n int
			if _, err := fmt.Sscan(pid, &n); err == nil && pid != self && n > 1 {
				unix.RawSyscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(n), 0, 0, 0, 0)
			}
		}
	}
}

// attackRemount tries to make the mounts named by args writable, in every way
// there is, also from a user namespace of its own.
func attackRemount(args []string) {
	for _, dir := range args {
		remounts(dir, "")
	}
	if err := unix.Unshare(unix.CLONE_NEWUSER | unix.CLONE_NEWNS); err != nil {
		return // refused: the usual case
	}
	for _, dir := range args {
		remounts(dir, " in another user namespace")
	}
}

func remounts(dir, where string) {
	writable := func(path, how string) {
		name := filepath.Join(path, "sbx-was-here")
		if fd, err := unix.Open(name, unix.O_CREAT|unix.O_WRONLY, 0o600); err == nil {
			unix.Close(fd)
			os.Remove(name)
			fmt.Printf("%s is writable after %s%s\n", path, how, where)
		}
	}
	unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND, "")
	writable(dir, "mount -o remount,bind,rw")
	unix.Mount("", dir, "", unix.MS_REMOUNT, "")
	writable(dir, "mount -o remount,rw")
	unix.MountSetattr(unix.AT_FDCWD, dir, unix.AT_RECURSIVE, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
	writable(dir, "mount_setattr")
	copied := "/tmp/copied"
	os.Mkdir(copied, 0o755)
	if unix.Mount(dir, copied, "", unix.MS_BIND|unix.MS_REC, "") == nil {
		unix.Mount("", copied, "", unix.MS_REMOUNT|unix.MS_BIND, "")
		writable(copied, "bind and remount of "+dir)
		unix.Unmount(copied, unix.MNT_DETACH)
	}
	if tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE); err == nil {
		unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY})
		if fd, err := unix.Openat(tree, "sbx-was-here", unix.O_CREAT|unix.O_WRONLY, 0o600); err == nil {
			unix.Close(fd)
			unix.Unlinkat(tree, "sbx-was-here", 0)
			fmt.Printf("a detached copy of %s is writable%s\n", dir, where)
		}
		unix.Close(tree)
	}
}

// attackUncover tries to see the file args[0] below the mounts that hide it,
// whose mount points are the other arguments.
func attackUncover(args []string) {
	secret := args[0]
	look := func(path, how string) {
		if b, err := os.ReadFile(path); err == nil {
			fmt.Printf("read %q by %s\n", b, how)
		}
	}
	try := func(where string) {
		look(secret, "its name"+where)
		os.Mkdir("/tmp/uncover", 0o755)
		if unix.Mount("/", "/tmp/uncover", "", unix.MS_BIND, "") == nil {
			look("/tmp/uncover"+secret, "a bind that is not recursive"+where)
			unix.Unmount("/tmp/uncover", unix.MNT_DETACH)
		}
		if tree, err := unix.OpenTree(unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE); err == nil {
			look(fmt.Sprintf("/proc/self/fd/%d%s", tree, secret), "open_tree"+where)
			unix.Close(tree)
		}
		os.Mkdir("/tmp/moved", 0o755)
		for _, cover := range args[1:] {
			if unix.Mount(cover, "/tmp/moved", "", unix.MS_MOVE, "") == nil {
				look(secret, "mount --move of "+cover+where)
			}
			if unix.Unmount(cover, unix.MNT_DETACH) == nil {
				look(secret, "umount of "+cover+where)
			}
		}
	}
	try("")
	if unix.Unshare(unix.CLONE_NEWUSER|unix.CLONE_NEWNS) == nil {
		try(" in another user namespace")
	}
}

// attackSpread mounts on its arguments, shared, and waits until the last
// argument, a file, is there.
func attackSpread(args []string) {
	for _, dir := range args[:len(args)-1] {
		unix.Mount("", dir, "", unix.MS_SHARED|unix.MS_REC, "")
		if err := unix.Mount("sbx-spread", dir, "tmpfs", 0, "size=64k"); err != nil {
			fmt.Println("mount", dir, err)
		}
	}
	fmt.Println("mounted")
	for {
		if _, err := os.Stat(args[len(args)-1]); err == nil {
			return
		}
	}
}

// attackRights prints what the process may do, asking no file.
func attackRights([]string) {
	var data [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		fmt.Println("capget:", err)
	}
	mode, err := unix.PrctlRetInt(unix.PR_GET_SECCOMP, 0, 0, 0, 0)
	fmt.Printf("eff %08x%08x inh %08x seccomp %d %v\n", data[1].Effective, data[0].Effective, data[0].Inheritable, mode, err)
}

// attackInput pushes keys into the terminal, as a caller's shell would read them.
func attackInput([]string) {
	for _, c := range []byte("touch pushed\n") {
		for _, request := range []uintptr{unix.TIOCSTI, unix.TIOCSTI | 1<<32} {
			unix.Syscall(unix.SYS_IOCTL, 0, request, uintptr(probePointer(&c)))
		}
	}
}
