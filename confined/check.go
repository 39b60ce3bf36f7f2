package confined

import (
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"sbx/api"
)

// check refuses what takes namespaces, a cgroup or a supervisor.
func check(r *api.Run) error {
	s := &r.Spec
	iso := s.Isolation
	for _, f := range []struct {
		flag  string
		given bool
		why   string
	}{
		{"--detach", r.Detach, "nothing would keep the program; use nohup or a service manager"},
		{"--init", s.Process.Init, "the program is not pid 1: what it leaves behind is ended anyway"},
		{"--ulimit", len(s.Process.Rlimits) > 0, "use ulimit in the shell that starts sbx"},
		{"--user", s.Process.User != "", "there is nobody else to become"},
		{"--name", s.Name != "", "nothing is kept that could be found by a name"},
		{"--group-add", len(s.Process.Groups) > 0, "the program has your groups"},
		{"--hostname", s.Hostname != "", ""},
		{"--domainname", s.Domain != "", ""},
		{"--sysctl", len(iso.Sysctls) > 0, ""},
		{"--label", len(s.Labels) > 0, "nothing is kept that could be found by a label"},
		{"--privileged", iso.Privileged, ""},
		{"--cap-add", len(iso.CapAdd) > 0, ""},
		{"--userns", iso.Userns != "", "the program runs as yourself"},
		{"--pid", iso.PID != "" && iso.PID != "host", ""},
		{"--ipc", iso.IPC != "" && iso.IPC != "host", ""},
		{"--uts", iso.UTS != "" && iso.UTS != "host", ""},
		{"--security-opt seccomp=unconfined", iso.Seccomp == "unconfined", "the filter is half of the wall"},
		{"--network " + iso.Network, !slices.Contains([]string{"", "none", "host"}, iso.Network), "use --network none or --network host"},
		{"--publish, --expose, --dns, --add-host and their kin", !reflect.ValueOf(s.Net).IsZero(), ""},
		{"--volumes-from", len(s.VolumesFrom) > 0, ""},
		{"limits (--memory, --cpus, --pids-limit, --shm-size and their kin)", !reflect.ValueOf(s.Limits).IsZero(), "use ulimit in the shell that starts sbx"},
		{"--restart", !s.Lifecycle.Restart.None() || s.Lifecycle.Restart.Max != 0, "nothing would start the program again"},
		{"--stop-signal", s.Lifecycle.StopSignal != "", ""},
		{"--stop-timeout", s.Lifecycle.StopTimeout != nil, ""},
		{"--log-opt", len(s.Lifecycle.LogOpts) > 0, "no log is kept"},
		{"--health-cmd and its kin", !reflect.ValueOf(s.Health).IsZero(), ""},
	} {
		if f.given {
			return refuse(f.flag, f.why)
		}
	}
	return checkMounts(s.Mounts)
}

// refuse says that a flag cannot be honoured.
func refuse(flag, why string) error {
	e := api.Errorf("run", api.HostImage, "%s: not possible without user namespaces", flag)
	if why != "" {
		e.WithHint("%s", why)
	}
	return e
}

// checkMounts accepts binds of files at their own place: Landlock shows what is there,
// and nothing anywhere else.
func checkMounts(mounts []api.Mount) error {
	for _, m := range mounts {
		switch {
		case m.Type != api.MountBind:
			return refuse("a "+m.Type+" at "+m.Target, "write to $HOME and $TMPDIR, which are empty and private")
		case filepath.Clean(m.Source) != filepath.Clean(m.Target):
			return refuse("-v "+m.Source+":"+m.Target, "a file can only be seen where it is: -v "+m.Source+":"+m.Source)
		case m.IsDevice():
			return refuse("--device "+m.Source, "")
		case m.Options != "" || m.Subpath != "":
			return refuse("an option of -v "+m.Source+" ("+m.Options+m.Subpath+")", "ro and rw are")
		}
		for _, around := range mounts {
			if m.ReadOnly && !around.ReadOnly && below(m.Target, around.Target) {
				return refuse("-v "+m.Target+":ro within "+around.Target, "what is given below a writable directory is writable")
			}
		}
	}
	return nil
}

// below says that path is dir or in it.
func below(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}
