// Package ports publishes ports of sandboxes on the host.
//
// A process of its own, "sbxd ports", listens in the host's network namespace,
// connects in the switch, and copies both ways:
//
//	client -> listener | host namespace      switch | socket -> bridge -> sandbox
//	                   +---- sbxd ports, in both ---+
//
// It runs in the supervisor's user namespace, which owns the switch, so it needs
// no help from anybody. It outlives the supervisor, the keeper and rootlesskit's
// processes, and so do the connections; the next supervisor finds it at its
// socket. It ends when nobody talks to it, no port is left, and no sandbox that it
// carries connections out for (package out).
//
// A sandbox sees the address of the client, for TCP and for UDP: the socket in
// the switch is bound to it (IP_TRANSPARENT, ip(7)), and rules in the switch bring
// the answers back to that socket. Where the address means nothing inside, it sees
// the gateway of its network instead: clients on the host's loopback interface,
// link-local ones, those of the other IP version than the sandbox's address, and
// those with an address that the switch itself uses.
package ports
