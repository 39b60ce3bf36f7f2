// Package out carries TCP connections of sandboxes to the outside, in the process
// "sbxd ports": the kernel's TCP on both sides, and no packet of data in our hands.
//
//	sandbox -> bridge -> rules -> syn0 -> Out: connect, in the host's namespace
//	sandbox <- bridge <- listener <- rules <- syn0 <- the same packet, once that worked
//
// Rules in the switch lead the first packet of a connection (SYN), and nothing else,
// to the device syn0, a tun(4). What comes out there is a wish: the process connects
// to the same address. When it is connected it writes the very same packet back to
// the device; now the rules give it to a listener of ours that stands for every
// address (tproxy), and the kernel answers. So a sandbox is connected when the
// outside is, and is refused when the outside refuses: then a reset or an error of
// ICMP goes back.
//
// When the process ends, so does the device, and the route to it. Then the rules find
// it no more, and new connections take the way of all other packets, through pasta
// or slirp4netns.
package out
