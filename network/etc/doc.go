// Package etc makes the contents of the three files that a sandbox has of its
// own: /etc/hosts, /etc/resolv.conf and /etc/hostname, as Docker has them. It
// writes no file itself; only Watch and WatchHost, which follow the host's
// resolv.conf and network, touch the system.
package etc
