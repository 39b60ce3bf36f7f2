// Package names is the DNS responder of the bridges. It listens on the gateway
// addresses inside the switch's network namespace, knows the sandboxes by name,
// and asks the host's own resolvers, from the host's network namespace, for
// everything else.
//
// What a sandbox sees:
//
//	NAME, NAME.NETWORK,            the sandbox's addresses on a network that the one
//	NAME[.NETWORK].sbx.internal    who asks is on too; upper and lower case are one
//	host.sbx.internal and others   the host
//	the addresses, in reverse      NAME.NETWORK
//	localhost                      127.0.0.1 and ::1
//	everything else                what the host's resolvers say
//
// What is ours is never asked of others: not a known name with a type that it does
// not have, nothing below sbx.internal, and no address of our networks in reverse.
//
// A query's source address says which sandbox asks; that it is not forged is the
// business of the bridge's rules. Each sandbox has a budget of queries per second,
// of forwarded queries under way, and of connections, so that a flood from one
// costs the others nothing; all of it is bounded.
package names
