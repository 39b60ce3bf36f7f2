package sandbox

import (
	"context"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/view"
)

// Processor time is a difference between two moments. The first one is sooner, so
// that there is something to see.
const (
	firstSample = 500 * time.Millisecond
	nextSample  = time.Second
)

// stats shows what sandboxes use, until the command line goes away.
func (c *conversation) stats(r *api.Stats) error {
	if _, err := view.Stats([]view.Usage{{}}, *r); err != nil {
		return err
	}
	w, err := c.s.watchUsage(r)
	if err != nil {
		return err
	}
	gone := c.gone()
	if _, err := w.sample(); err != nil {
		return err
	}
	for wait := firstSample; ; wait = nextSample {
		if !sleep(gone, wait) {
			return nil
		}
		list, err := w.sample()
		if err != nil {
			return err
		}
		text, err := view.Stats(list, *r)
		if err != nil {
			return err
		}
		if r.NoStream {
			return c.done(text)
		}
		if err := c.out(text); err != nil {
			return err
		}
		if len(list) == 0 && len(r.Names) > 0 {
			return c.done("") // they have been removed
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// usageWatch measures again and again.
type usageWatch struct {
	s      *Supervisor
	asked  []watched // none: all sandboxes
	all    bool      // those too that do not run
	memory uint64    // of the machine, bytes
	last   map[*box]cpuSample
}

// watched is a sandbox and the name that was asked for.
type watched struct {
	*box
	name string
}

type cpuSample struct {
	at   time.Time
	used time.Duration
}

func (s *Supervisor) watchUsage(r *api.Stats) (*usageWatch, error) {
	w := &usageWatch{s: s, all: r.All || len(r.Names) > 0}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range r.Names {
		b, err := s.find(name)
		if err != nil {
			return nil, err
		}
		w.asked = append(w.asked, watched{b, name})
	}
	var mem unix.Sysinfo_t
	if err := unix.Sysinfo(&mem); err != nil {
		return nil, os.NewSyscallError("sysinfo", err)
	}
	w.memory = uint64(mem.Totalram) * uint64(mem.Unit)
	return w, nil
}

// measured is a sandbox at one moment.
type measured struct {
	watched
	view  api.Sandbox
	alive bool
}

// boxes are those to measure now.
func (w *usageWatch) boxes() []measured {
	var list []measured
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	add := func(b watched) {
		if m := (measured{b, b.view(), b.running()}); !b.removed && (w.all || m.alive) {
			list = append(list, m)
		}
	}
	for _, b := range w.asked {
		add(b)
	}
	if w.asked == nil {
		for _, b := range w.s.ordered() {
			add(watched{b, b.config.ID})
		}
	}
	return list
}

// sample measures all sandboxes. Without a sample before there is no CPU.
func (w *usageWatch) sample() ([]view.Usage, error) {
	last := map[*box]cpuSample{}
	list := []view.Usage{}
	var processes map[string][]int // read once, when the first sandbox has no cgroup
	for _, m := range w.boxes() {
		u := view.Usage{Asked: m.name, ID: m.view.Config.ID, Name: m.view.Config.Name}
		if !m.alive {
			list = append(list, nothingUsed(u))
			continue
		}
		var cpu cpuSample
		var err error
		if m.view.Status.Cgroup != "" {
			cpu, err = w.byGroup(&m, &u)
		} else {
			if processes == nil {
				if processes, err = namespaces(); err != nil {
					return nil, err
				}
			}
			cpu, err = w.byProcesses(&m, &u, processes)
		}
		if err != nil {
			// It is just ending, or its cgroup has been taken away: then nothing is known.
			w.s.Log.Debug("measure", "id", shortID(u.ID), "error", err)
			list = append(list, view.Usage{Asked: u.Asked, ID: u.ID, Name: u.Name})
			continue
		}
		if before, ok := w.last[m.box]; ok && cpu.at.After(before.at) {
			percent := max(0, float64(cpu.used-before.used)/float64(cpu.at.Sub(before.at))*100)
			u.CPU = &percent
		}
		last[m.box] = cpu
		list = append(list, u)
	}
	w.last = last
	return list, nil
}

// nothingUsed is a sandbox that does not run. Docker has zeros for it.
func nothingUsed(u view.Usage) view.Usage {
	u.CPU, u.Memory, u.Tasks = new(float64), new(uint64), new(uint64)
	u.Net, u.Block = &view.Traffic{}, &view.Traffic{}
	return u
}

// byGroup reads the cgroup of a sandbox. What it does not have for want of a
// controller its processes are asked for.
func (w *usageWatch) byGroup(m *measured, u *view.Usage) (cpuSample, error) {
	group := w.s.home.Group(m.view.Status.Cgroup)
	stats, err := group.Stats()
	if err != nil {
		return cpuSample{}, err
	}
	if stats.Memory == nil || stats.Pids == nil {
		pids, err := group.Pids()
		if err != nil {
			return cpuSample{}, err
		}
		w.fill(u, sumProcesses(pids))
	}
	if mem := stats.Memory; mem != nil {
		used := mem.Usage - min(mem.Cache, mem.Usage)
		u.Memory, u.MemoryLimit = &used, w.memory
		if mem.Limit > 0 {
			u.MemoryLimit = min(mem.Limit, w.memory)
		}
	}
	if stats.Pids != nil {
		u.Tasks = &stats.Pids.Current
	}
	if stats.IO != nil {
		u.Block = &view.Traffic{In: stats.IO.ReadBytes, Out: stats.IO.WriteBytes}
	}
	u.Net, err = ownTraffic(m)
	return cpuSample{stats.Time, stats.CPU.Usage}, err
}

// fill takes memory and processes from a sum.
func (w *usageWatch) fill(u *view.Usage, sum procUsage) {
	u.Memory, u.MemoryLimit, u.Tasks = &sum.memory, w.memory, &sum.tasks
}

// byProcesses adds up the processes of a sandbox that has no cgroup.
func (w *usageWatch) byProcesses(m *measured, u *view.Usage, processes map[string][]int) (cpuSample, error) {
	pid := m.view.Status.PID
	pids := processes[pidNamespace(pid)]
	if m.view.Config.Isolation.PID == "host" {
		var err error
		if pids, err = pidsLike(pid); err != nil {
			return cpuSample{}, err
		}
	}
	at := time.Now()
	sum := sumProcesses(pids)
	w.fill(u, sum)
	var err error
	u.Net, err = ownTraffic(m)
	return cpuSample{at, sum.cpu}, err
}

// ownTraffic is nil for a sandbox on the host's network: what goes over that is
// everybody's.
func ownTraffic(m *measured) (*view.Traffic, error) {
	if m.view.Config.Isolation.Network == "host" {
		return nil, nil
	}
	return traffic(m.view.Status.PID)
}
