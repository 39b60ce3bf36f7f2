package names

import (
	"net/netip"
	"sync"
	"time"
)

// The budgets. Some sandboxes that do their worst take about 20 MB.
const (
	perSecond  = 2000 // queries that one client may send
	burst      = 2000 // and how many of them at once
	forwarding = 1024 // forwarded queries under way, of all
	streams    = 256  // TCP connections, of all
	few        = 4    // of both, that a client has for sure, beyond these
	mostKnown  = 4096 // clients that are remembered
)

// client is who asks: a sandbox, or an address where the sandbox is not known.
type client struct {
	tokens     float64
	last       time.Time
	forwarding int
	streams    int
}

// clientKey names a client. One of the two is empty.
type clientKey struct {
	sandbox string
	addr    netip.Addr
}

// clients shares the budgets out.
type clients struct {
	mu         sync.Mutex
	known      map[clientKey]*client
	forwarding int
	streams    int
}

// allow takes one query off a client's budget. It says false if there is nothing
// left of that: the query is to be forgotten without an answer.
func (c *clients) allow(key clientKey, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.get(key, now)
	k.tokens = min(k.tokens+now.Sub(k.last).Seconds()*perSecond, burst)
	k.last = now
	if k.tokens < 1 {
		return false
	}
	k.tokens--
	return true
}

func (c *clients) get(key clientKey, now time.Time) *client {
	k := c.known[key]
	if k != nil {
		return k
	}
	if len(c.known) >= mostKnown {
		// Any one will do, and a map gives them in no order: who is forgotten starts
		// with a full budget again.
		for other, o := range c.known {
			if o.forwarding == 0 && o.streams == 0 {
				delete(c.known, other)
				break
			}
		}
	}
	k = &client{tokens: burst, last: now}
	c.known[key] = k
	return k
}

// share says whether one who has n of a total may have one more while used of them
// are in use. It may take half of what is free: a third of all, if nobody else
// wants any. However many are greedy, a few are left for the next.
func share(n, used, total int) bool {
	return n < (total-used)/2 || n < few && used < 2*total
}

// startForward asks for a slot among the forwarded queries.
func (c *clients) startForward(key clientKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.get(key, time.Now())
	if !share(k.forwarding, c.forwarding, forwarding) {
		return false
	}
	k.forwarding++
	c.forwarding++
	return true
}

// endForward gives it back. A client with a slot is never forgotten.
func (c *clients) endForward(key clientKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[key].forwarding--
	c.forwarding--
}

// startStream asks for a slot among the TCP connections.
func (c *clients) startStream(key clientKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.get(key, time.Now())
	if !share(k.streams, c.streams, streams) {
		return false
	}
	k.streams++
	c.streams++
	return true
}

// endStream gives it back.
func (c *clients) endStream(key clientKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known[key].streams--
	c.streams--
}
