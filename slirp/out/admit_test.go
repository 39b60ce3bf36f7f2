package out

import (
	"io"
	"log/slog"
	"net/netip"
	"testing"
)

// admitting is an Out without a device, that has so many places.
func admitting(places int) (o *Out, taken *int) {
	taken = new(int)
	return &Out{known: map[pair]*attempt{}, shares: map[netip.Addr]*share{}, o: Options{
		Avoid: []netip.Prefix{netip.MustParsePrefix("10.0.2.0/24"), netip.MustParsePrefix("fd00::/64")}, Most: places,
		Acquire: func() bool {
			if *taken == places {
				return false
			}
			*taken++
			return true
		},
		Release: func() { *taken-- }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}}, taken
}

func wish(t *testing.T, from netip.AddrPort, to string) first {
	t.Helper()
	f, ok := parse(opening(from.String(), to, syn))
	if !ok {
		t.Fatalf("no first packet from %v to %s", from, to)
	}
	return f
}

var sandbox4, sandbox6 = netip.MustParseAddr("10.88.0.2"), netip.MustParseAddr("fd88::2")

// What means something else to the host is refused, whatever the rules have let through.
func TestAdmitsOnlyTheOutside(t *testing.T) {
	for _, to := range []string{"198.51.100.2:80", "10.0.3.2:80", "192.168.1.1:80", "8.8.8.8:53",
		"[2001:db8::2]:80", "[fd01::2]:80", "[64:ff9b::102:304]:80"} {
		o, _ := admitting(10)
		a := netip.AddrPortFrom(sandbox4, 4000)
		if to[0] == '[' {
			a = netip.AddrPortFrom(sandbox6, 4000)
		}
		if got, _ := o.admit(wish(t, a, to)); got == nil {
			t.Errorf("%s is refused", to)
		}
	}
	for _, to := range []string{"127.0.0.1:80", "127.9.9.9:80", "0.0.0.0:80", "0.1.2.3:80", "10.0.2.2:80", "10.0.2.3:53", "169.254.169.254:80",
		"224.0.0.1:80", "255.255.255.255:80",
		"[::1]:80", "[::]:80", "[::ffff:127.0.0.1]:80", "[::7f00:1]:80", "[fd00::2]:80", "[fe80::1]:80", "[ff02::1]:80"} {
		o, taken := admitting(10)
		a := netip.AddrPortFrom(sandbox4, 4000)
		if to[0] == '[' {
			a = netip.AddrPortFrom(sandbox6, 4000)
		}
		if got, again := o.admit(wish(t, a, to)); got != nil || again || *taken != 0 {
			t.Errorf("%s is let through", to)
		}
	}
}

// One sandbox cannot wait for more than its share, nor have more than half of all.
func TestAdmitsEverybody(t *testing.T) {
	const places = 4 * mostWaiting
	o, taken := admitting(places)
	ask := func(from netip.Addr, n int) (got []*attempt) {
		for i := range n {
			if a, _ := o.admit(wish(t, netip.AddrPortFrom(from, uint16(1+i)), "198.51.100.2:80")); a != nil {
				got = append(got, a)
			}
		}
		return got
	}
	greedy := ask(sandbox4, 2*mostWaiting)
	if len(greedy) != mostWaiting {
		t.Errorf("it waits for %d answers, want %d", len(greedy), mostWaiting)
	}
	for _, a := range greedy { // the outside has answered
		a.answered = true
		o.shares[sandbox4].waiting--
	}
	if more := ask(sandbox4, places); len(more)+len(greedy) != places/2 {
		t.Errorf("it has %d places, want %d", len(more)+len(greedy), places/2)
	} else {
		greedy = append(greedy, more...)
	}
	if other := ask(sandbox4.Next(), 10); len(other) != 10 {
		t.Errorf("another one has %d", len(other))
	}
	for _, a := range greedy {
		o.forget(a)
		o.forget(a) // does no harm
	}
	if *taken != 10 || len(o.shares) != 1 || len(o.known) != 10 {
		t.Errorf("%d places are taken, %d shares and %d attempts known", *taken, len(o.shares), len(o.known))
	}
}

// A packet that comes again is the same wish, with what it says now.
func TestAdmitsOnce(t *testing.T) {
	o, taken := admitting(10)
	from := netip.AddrPortFrom(sandbox4, 4000)
	a, _ := o.admit(wish(t, from, "198.51.100.2:80"))
	second := wish(t, from, "198.51.100.2:80")
	second.packet[second.tcp+4]++ // another number
	if b, again := o.admit(second); b != nil || again || *taken != 1 {
		t.Errorf("%v %v, %d places", b, again, *taken)
	}
	if a.packet[a.tcp+4] != second.packet[second.tcp+4] {
		t.Error("the old packet is kept")
	}
	a.answered = true
	if b, again := o.admit(second); b != nil || !again {
		t.Errorf("the kernel does not see it: %v %v", b, again)
	}
}
