package pid1

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
	"sbx/internal/sys"
)

// become is the way from the set-up to the program: everything is given up that
// the program must not have. All of it is state of one thread, the one that
// executes the program.
//
// The order matters: what needs privilege comes before it is given up, and what
// restricts comes last, so that it cannot be in the way of anything but execve.
// have are the capabilities of that thread; setgroups says whether the user
// namespace has the call at all.
func (p *Program) become(s *sys.Script, id identity, have uint64, setgroups bool) error {
	if err := rlimitCalls(s, p.Rlimits); err != nil {
		return err
	}
	if p.OOMScoreAdj != nil {
		scoreCalls(s, *p.OOMScoreAdj)
	}
	for c := range uintptr(64) {
		if p.Caps&(1<<c) == 0 {
			// EINVAL: above the last one that this kernel has.
			s.CallIgnoring([2]syscall.Errno{unix.EINVAL}, "prctl PR_CAPBSET_DROP", unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, c)
		}
	}
	// Without no_new_privs a filter needs CAP_SYS_ADMIN, which is about to go.
	if !p.NoNewPrivs {
		filterCalls(s, p.Seccomp)
	}
	if !setgroups && id.more {
		return api.Errorf("set groups", strings.Join(p.Groups, " "), "your user namespace has one group only").
			WithHint("use --group-add keep-groups; or have subordinate ids: sbx doctor says how")
	}
	if setgroups && !id.keep {
		groups := make([]uint32, 0, len(id.groups)+1)
		for _, g := range id.groups {
			groups = append(groups, uint32(g))
		}
		groups = append(groups, uint32(id.gid))
		s.Call("setgroups", unix.SYS_SETGROUPS, uintptr(len(groups)), sys.Pointer(s, &groups[0]))
	}
	// setresuid must not take the capabilities with it before capset has chosen.
	s.Call("prctl PR_SET_KEEPCAPS", unix.SYS_PRCTL, unix.PR_SET_KEEPCAPS, 1)
	uid, gid := uintptr(id.uid), uintptr(id.gid)
	// Where there is one id only, the filter would pretend these two.
	own := sys.OwnCall
	s.Call("setresgid", unix.SYS_SETRESGID, gid, gid, gid, uintptr(own))
	s.Call("setresuid", unix.SYS_SETRESUID, uid, uid, uid, uintptr(own))
	caps := p.Caps & have
	if id.uid != 0 {
		caps = 0
	}
	capCalls(s, caps)
	// A change of user makes the kernel forget who must not be outlived. prctl(2).
	s.Call("prctl PR_SET_PDEATHSIG", unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	if p.NoNewPrivs {
		s.Call("prctl PR_SET_NO_NEW_PRIVS", unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
		filterCalls(s, p.Seccomp)
	}
	// A descriptor of the host that survived would be a door (CVE-2024-21626).
	// Linux 5.11, close_range(2).
	s.Call("close_range", unix.SYS_CLOSE_RANGE, 3, uintptr(^uint32(0)), unix.CLOSE_RANGE_CLOEXEC)
	return nil
}

// capCalls set the permitted and effective capabilities; nothing is inheritable
// or ambient (CVE-2022-27649 and its kin). capset(2).
func capCalls(s *sys.Script, caps uint64) {
	s.CallIgnoring([2]syscall.Errno{unix.EINVAL}, "prctl PR_CAP_AMBIENT_CLEAR_ALL", unix.SYS_PRCTL, unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL)
	hdr := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := new([2]unix.CapUserData)
	for i := range data {
		data[i].Permitted = uint32(caps >> (32 * i))
		data[i].Effective = data[i].Permitted
	}
	s.Call("capset", unix.SYS_CAPSET, sys.Pointer(s, hdr), sys.Pointer(s, data))
}

// filterCalls install a seccomp filter. seccomp(2).
func filterCalls(s *sys.Script, filter []byte) {
	if len(filter) == 0 {
		return
	}
	prog := &unix.SockFprog{
		Len:    uint16(len(filter) / int(unsafe.Sizeof(unix.SockFilter{}))),
		Filter: (*unix.SockFilter)(unsafe.Pointer(&filter[0])),
	}
	s.Call("seccomp", unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, sys.Pointer(s, prog))
}

var rlimits = map[string]uintptr{
	"as": unix.RLIMIT_AS, "core": unix.RLIMIT_CORE, "cpu": unix.RLIMIT_CPU, "data": unix.RLIMIT_DATA,
	"fsize": unix.RLIMIT_FSIZE, "locks": unix.RLIMIT_LOCKS, "memlock": unix.RLIMIT_MEMLOCK,
	"msgqueue": unix.RLIMIT_MSGQUEUE, "nice": unix.RLIMIT_NICE, "nofile": unix.RLIMIT_NOFILE,
	"nproc": unix.RLIMIT_NPROC, "rss": unix.RLIMIT_RSS, "rtprio": unix.RLIMIT_RTPRIO,
	"rttime": unix.RLIMIT_RTTIME, "sigpending": unix.RLIMIT_SIGPENDING, "stack": unix.RLIMIT_STACK,
}

func rlimitCalls(s *sys.Script, limits []api.Rlimit) error {
	for _, l := range limits {
		resource, ok := rlimits[l.Name]
		if !ok {
			return api.Errorf("set limit", l.Name, "unknown limit")
		}
		lim := &unix.Rlimit{Cur: l.Soft, Max: l.Hard}
		s.Call("prlimit64 "+l.Name, unix.SYS_PRLIMIT64, 0, resource, sys.Pointer(s, lim), 0)
	}
	return nil
}

// scoreCalls write /proc/self/oom_score_adj, proc_pid_oom_score_adj(5). The mount
// is the sandbox's own; a program of the sandbox that has put something else there
// has only harmed itself, but must not keep us waiting, as a fifo would.
func scoreCalls(s *sys.Script, adj int) {
	path, text := []byte("/proc/self/oom_score_adj\x00"), []byte(strconv.Itoa(adj))
	cwd := unix.AT_FDCWD
	s.Call("open oom_score_adj", unix.SYS_OPENAT, uintptr(cwd), sys.Pointer(s, &path[0]), unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC)
	s.CallOn("write oom_score_adj", unix.SYS_WRITE, sys.Pointer(s, &text[0]), uintptr(len(text)))
}

// explain says what the failure of a call of become means.
func explain(err error) error {
	e := api.Wrap("start the program", "", err)
	name := e.Msg
	switch {
	case e.Errno == unix.EPERM && len(name) > 7 && name[:7] == "prlimit":
		e.WithHint("an ordinary user cannot raise the hard limit: see ulimit -H -a")
	case strings.Contains(name, "oom_score_adj") && (e.Errno == unix.EACCES || e.Errno == unix.EPERM):
		e.WithHint("an ordinary user can raise --oom-score-adj, and not lower it below what it is: see /proc/self/oom_score_adj")
	case strings.Contains(name, "oom_score_adj") && e.Errno == unix.EROFS:
		e.WithRemedy(remedy.Proc())
	case e.Errno == unix.EINVAL && len(name) > 3 && name[:3] == "set":
		e.WithHint("you have no subordinate id for the user or group: sbx doctor says how to get them")
	case e.Errno == unix.EAGAIN && len(name) > 9 && name[:9] == "setresuid":
		e.WithHint("the user has too many processes: see ulimit -u")
	}
	return e
}

// hasSetgroups says whether the user namespace of a process allows setgroups(2):
// one with a single group does not. user_namespaces(7).
func hasSetgroups(pid string) (bool, error) {
	word, err := os.ReadFile("/proc/" + pid + "/setgroups")
	return !bytes.Equal(word, []byte("deny\n")), err
}

// lastCaps are all capabilities that this kernel has.
func lastCaps() (uint64, error) {
	text, err := os.ReadFile("/proc/sys/kernel/cap_last_cap")
	if err != nil {
		return 0, err
	}
	last, err := strconv.Atoi(string(bytes.TrimSpace(text)))
	if err != nil {
		return 0, err
	}
	return 1<<(last+1) - 1, nil
}
