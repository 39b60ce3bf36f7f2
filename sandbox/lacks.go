package sandbox

import (
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/remedy"
	"sbx/sandbox/pid1"
	"sbx/slirp"
)

// readLacks keeps what a pid 1 that is ready has to say. The caller holds the lock.
func (s *Supervisor) readLacks(l *link, p *api.Packet) error {
	l.lacks = pid1.Lacks{}
	if len(p.Body) == 0 {
		return nil
	}
	return p.Decode(&l.lacks)
}

// adviseLacks says, once, what sandboxes do not get here; a name that somebody has asked
// for is refused. It waits until the first sandbox is prepared: only then it is known.
// Conn may be nil.
func (s *Supervisor) adviseLacks(c *api.Config, l *link, conn *api.Conn) error {
	lacks := s.lacks.Load()
	if lacks == nil {
		if err := s.awaitSlot(l); err != nil {
			return err
		}
		s.mu.Lock()
		found := l.lacks
		s.mu.Unlock()
		lacks = &found
		if conn != nil && c.Isolation.PID != "host" && c.Isolation.UTS != "host" {
			s.lacks.Store(lacks)
			if err := s.tellLacks(found, conn); err != nil {
				return err
			}
		}
	}
	if lacks.Hostname && c.Isolation.UTS != "host" && c.Hostname != s.hostname(c) {
		return api.Wrap("sethostname", c.Hostname, unix.EPERM).WithRemedy(remedy.Forbidden())
	}
	return s.tellNetwork(c, conn)
}

func (s *Supervisor) tellLacks(lacks pid1.Lacks, conn *api.Conn) error {
	var lost []string
	if lacks.Proc {
		lost = append(lost, "/proc of sandboxes is read-only and lists the processes around them, not their own: "+remedy.Proc().Text)
	}
	if lacks.Hostname {
		lost = append(lost, "the host name of sandboxes is that of this container, whose filter forbids sethostname")
	}
	if lost == nil {
		return nil
	}
	return s.tellOnce(conn, lacksTold, strings.Join(lost, "; and "))
}

// tellNetwork says, once, what networks do not have here, and that the way out is slower
// than it could be. Who is on a network has waited for the way out.
func (s *Supervisor) tellNetwork(c *api.Config, conn *api.Conn) error {
	if conn == nil || !wantsNetwork(c) || s.netKnown.Swap(true) {
		return nil
	}
	n, err := s.network()
	if err == nil && n.swtch.OnlyIPv4() {
		err = s.tellOnce(conn, onlyIPv4Told, "networks have no IPv6, since /proc/sys/net is read-only, as in a container")
	}
	if err != nil {
		return err
	}
	outlet, err := slirp.ReadOutlet(s.Dirs.Run)
	if err != nil || outlet.Instead == "" {
		return nil // what is wrong with it is told by who needs it
	}
	return s.tellOnce(conn, insteadTold, insteadOfPasta(outlet))
}

func insteadOfPasta(outlet slirp.Outlet) string {
	return "the network is slower than it could be, slirp4netns is used in the place of pasta: " + outlet.Instead
}
