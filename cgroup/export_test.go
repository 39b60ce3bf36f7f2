package cgroup

// KillEach is Kill as on a kernel without cgroup.kill.
func (g Group) KillEach() error { return g.killEach() }
