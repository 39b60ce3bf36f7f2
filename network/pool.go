package network

import (
	"math"
	"net/netip"

	"sbx/api"
)

// pool hands out the addresses of a subnet. It starts behind the one that was
// handed out last, and begins again at the end of the range: an address that was
// given back rests for as long as possible, since others may still send to it.
type pool struct {
	subnet Subnet
	taken  map[netip.Addr]string // by whom
	last   netip.Addr
}

const theGateway = "the gateway"

// newPool has only the gateway taken.
func newPool(s Subnet) *pool {
	p := &pool{subnet: s, taken: map[netip.Addr]string{s.Gateway: theGateway}}
	p.last = p.choices().Addr().Prev()
	return p
}

// choices is where pick looks.
func (p *pool) choices() netip.Prefix {
	if p.subnet.Range.IsValid() {
		return p.subnet.Range
	}
	return p.subnet.Prefix
}

// pick takes a free address for owner.
func (p *pool) pick(owner string) (netip.Addr, error) {
	within := p.choices()
	// Among as many addresses as are not to be had, and one more, one is free.
	most := math.MaxInt
	if bits := within.Addr().BitLen() - within.Bits(); bits < 31 {
		most = 1 << bits
	}
	const firstAndLast = 2
	a := p.last
	for range min(most, len(p.taken)+firstAndLast+1) {
		a = a.Next()
		if !within.Contains(a) {
			a = within.Addr()
		}
		if p.taken[a] == "" && p.reserved(a) == "" {
			p.taken[a], p.last = owner, a
			return a, nil
		}
	}
	return netip.Addr{}, api.Errorf("choose an address", within.String(), "all are taken").
		WithHint("remove sandboxes, or make a network with a larger subnet")
}

// take takes this very address for owner.
func (p *pool) take(a netip.Addr, owner string) error {
	const op = "take address"
	if !p.subnet.Prefix.Contains(a) {
		return api.Errorf(op, a.String(), "not in the subnet %s", p.subnet.Prefix)
	}
	if what := p.reserved(a); what != "" {
		return api.Errorf(op, a.String(), "it is %s of %s", what, p.subnet.Prefix)
	}
	if by := p.taken[a]; by != "" {
		return api.Errorf(op, a.String(), "taken by %s", by).WithHint("choose another one, or leave the choice to sbx")
	}
	p.taken[a] = owner
	return nil
}

// adopt takes an address that is in use whatever the rules say now, and goes on
// behind the highest of them.
func (p *pool) adopt(a netip.Addr, owner string) {
	p.taken[a] = owner
	if p.choices().Contains(a) && p.last.Less(a) {
		p.last = a
	}
}

// release gives an address back. Not the gateway's.
func (p *pool) release(a netip.Addr) {
	if a != p.subnet.Gateway {
		delete(p.taken, a)
	}
}

// reserved says what an address means that nobody may have. The IPv6 equivalent
// of the network's address is the anycast address of its routers; there is no
// broadcast address.
func (p *pool) reserved(a netip.Addr) string {
	switch {
	case a == p.subnet.Prefix.Addr():
		return "the network's own address"
	case a.Is4() && a == lastOf(p.subnet.Prefix):
		return "the broadcast address"
	}
	return ""
}

// lastOf is the last address of a subnet.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
