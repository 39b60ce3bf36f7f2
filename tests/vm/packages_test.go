package vm

import (
	"path/filepath"
	"testing"
)

// The packages whose tests want of the system what few others have: groups that can be
// divided, a device for network interfaces, and the kernel's modules behind rules.
func TestPackages(t *testing.T) {
	m := up(t)
	const must = "SBX_PATIENCE=2m SBX_MUST=userns,pasta,fuse,landlock,cgroup,cgroup-cpu,cgroup-cpuset,cgroup-io,cgroup-memory,cgroup-pids"
	for _, c := range []struct{ name, user string }{
		{"cgroup", "dev"}, {"delegate", "dev"}, {"delegate", "nosub"}, {"slirp", "dev"}, {"ports", "dev"}, {"owners", "dev"},
	} {
		t.Run(filepath.Join(c.name, c.user), func(t *testing.T) {
			m.t = t
			if r := m.Run(c.user, "cd $(mktemp -d) && "+must+" /opt/sbx-tests/"+c.name+".test -test.short -test.timeout 4m"); r.Code != 0 {
				t.Errorf("status %d\n%s%s", r.Code, r.Out, r.Err)
			}
		})
	}
}
