// Package network is what happens inside the switch: the network namespace with
// a bridge for each network, from where pasta or slirp4netns leads out.
//
//	sandbox A        sandbox B                  the switch
//	eth0 ----------- eth0 ------- (v-... v-...)-- sbx0   10.88.0.1 ---+-- tap0, masqueraded
//	10.88.0.2        10.88.0.3                                        |
//	sandbox C                                                         |
//	eth0 ------------------------ (v-...) ------- net-3f01c2 ---------+
//
// The kernel keeps all of it while no supervisor runs; Recover takes it over.
// Who a port of a bridge may claim to be is said in elements of nftables sets, so
// that attaching the two-hundredth sandbox costs what the first did.
//
// The calling process need not be in the switch, and may have no capability in
// the namespace that it is in: what must be done inside is done on a thread of
// its own.
package network
