package sandbox

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/cgroup"
	"sbx/slirp"
	"sbx/view"
)

func (c *conversation) info(r *api.Format) error {
	facts, err := c.s.facts()
	if err != nil {
		return err
	}
	text, err := view.Info(facts, r.Format)
	if err != nil {
		return err
	}
	return c.done(text)
}

func (c *conversation) version(r *api.Format) error {
	server := view.Component{
		Version: api.Version, Protocol: api.Protocol, GoVersion: runtime.Version(), Os: runtime.GOOS, Arch: runtime.GOARCH,
	}
	client := server
	client.Version = r.Client
	text, err := view.Version(view.VersionFacts{Client: client, Server: server}, r.Format)
	if err != nil {
		return err
	}
	return c.done(text)
}

func (s *Supervisor) facts() (view.InfoFacts, error) {
	facts := view.InfoFacts{
		Version: api.Version, StorageRoot: s.Dirs.Storage(), RunRoot: s.Dirs.Run, Driver: "overlay",
		CPUs: runtime.NumCPU(), SupervisorPID: os.Getpid(), OS: osName(), CgroupVersion: cgroupVersion(),
		SecurityOptions: []string{"name=seccomp,profile=builtin", "name=rootless"},
	}
	var err error
	if facts.DriverStatus, err = s.overlay.status(s); err != nil {
		return facts, err
	}
	for _, e := range s.uids {
		facts.UserNamespace = append(facts.UserNamespace, fmt.Sprintf("%d %d %d", e.Inside, e.Outside, e.Length))
	}
	for _, b := range s.sandboxes() {
		facts.Sandboxes++
		switch b.Status.State {
		case api.Running:
			facts.Running++
		case api.Paused:
			facts.Paused++
		}
	}
	facts.Stopped = facts.Sandboxes - facts.Running - facts.Paused
	facts.CgroupDriver, facts.Controllers = s.home.Driver, s.home.Controllers
	facts.Warnings = unlimitable(&s.home)
	s.slots.mu.Lock()
	facts.WarmSlots = len(s.slots.free)
	s.slots.mu.Unlock()
	outlet, err := slirp.ReadOutlet(s.Dirs.Run)
	if err != nil {
		return facts, err
	}
	facts.Network = outlet.Driver
	if outlet.Reason != "" {
		facts.Warnings = append(facts.Warnings, "no way out for networks: "+outlet.Reason)
	}
	if outlet.Instead != "" {
		facts.Warnings = append(facts.Warnings, insteadOfPasta(outlet))
	}
	return facts, s.hostFacts(&facts)
}

// unlimitable says, in Docker's words, which limits cannot be had, and how to get
// them.
func unlimitable(home *cgroup.Home) []string {
	if !home.Exists() {
		return []string{sentence("No resource limits", home.Lack)}
	}
	var list []string
	for _, controller := range cgroup.Wanted {
		if lack, ok := home.Missing[controller]; ok {
			list = append(list, sentence("No "+controller+" support", lack))
		}
	}
	return list
}

func sentence(what string, lack cgroup.Lack) string {
	for _, part := range []string{lack.Why, lack.Text} {
		if part != "" {
			what += ": " + part
		}
	}
	return what
}

func (s *Supervisor) hostFacts(facts *view.InfoFacts) error {
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return os.NewSyscallError("uname", err)
	}
	facts.Kernel = unix.ByteSliceToString(uts.Release[:])
	facts.Arch = unix.ByteSliceToString(uts.Machine[:])
	facts.Name = unix.ByteSliceToString(uts.Nodename[:])
	var mem unix.Sysinfo_t
	if err := unix.Sysinfo(&mem); err != nil {
		return os.NewSyscallError("sysinfo", err)
	}
	facts.Memory = int64(mem.Totalram) * int64(mem.Unit)
	store, err := s.images()
	if err != nil {
		return err
	}
	images, err := store.List()
	facts.Images = len(images)
	return err
}

// osName is PRETTY_NAME of os-release(5).
func osName() string {
	f, err := os.Open("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "PRETTY_NAME="); ok {
			return strings.Trim(name, `"`)
		}
	}
	return "Linux"
}

func cgroupVersion() string {
	var fs unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &fs); err == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		return "2"
	}
	return "1"
}
