package network

import (
	"errors"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"sbx/api"
)

// Recover takes over what an earlier supervisor has left in the switch: live are
// the interfaces of the sandboxes that run, as Attach returned them. What nobody
// owns is removed. It must be called once, before Attach; with nothing live, too.
//
// It does as much as it can. The error names the sandboxes that are without a
// network now.
func (s *Switch) Recover(live []Endpoint) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	const op = "recover the switch"
	links, err := s.rt.links()
	if err != nil {
		return api.Wrap(op, "", err)
	}
	there := map[string]bool{}
	for _, l := range links {
		there[l.name] = true
	}
	var errs []error
	for _, b := range s.nets {
		if there[b.Bridge] {
			errs = append(errs, s.up(b))
		}
	}
	for i := range live {
		errs = append(errs, s.adopt(&live[i], there))
	}
	bridges := map[string]bool{}
	for _, b := range s.nets {
		bridges[b.Bridge] = true
	}
	var orphans []request
	for _, l := range links {
		ours := l.kind == "veth" && strings.HasPrefix(l.name, portPrefix) && s.ports[l.name] == nil ||
			l.kind == "bridge" && !bridges[l.name]
		if ours {
			orphans = append(orphans, remove(l.name))
		}
	}
	for part := range slices.Chunk(orphans, chunk) {
		// One may have gone by itself meanwhile, with the sandbox's namespace.
		if err := s.rt.do(part...); err != nil && !errors.Is(err, unix.ENODEV) {
			errs = append(errs, api.Wrap(op, "", err))
		}
	}
	if err := s.settle(); err != nil {
		errs = append(errs, withHint(api.Wrap(op, "", err), why(err)))
	}
	return errors.Join(errs...)
}

// adopt books an endpoint that is there.
func (s *Switch) adopt(e *Endpoint, there map[string]bool) error {
	op := "reconnect to network " + printable(e.Network)
	b := s.nets[e.Network]
	if b == nil {
		return api.Errorf(op, e.owner(), "there is no such network any more")
	}
	if !there[e.Host] {
		return api.Errorf(op, e.owner(), "its interface is gone").WithHint("restart the sandbox")
	}
	if _, err := parseMAC(e.MAC); err != nil || !e.IP.Is4() || s.ports[e.Host] != nil {
		return api.Errorf(op, e.owner(), "its record is damaged").WithHint("restart the sandbox")
	}
	b.pools[false].adopt(e.IP, e.owner())
	if p := b.pools[true]; p != nil && e.IP6.IsValid() {
		p.adopt(e.IP6, e.owner())
	}
	s.book(b, e)
	return nil
}
