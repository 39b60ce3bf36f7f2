// Package etc makes the contents of the three files that a sandbox has of its
// own: /etc/hosts, /etc/resolv.conf and /etc/hostname, as Docker has them. It
// writes no file itself; only Watch, which follows the host's resolv.conf,
// touches the system.
package etc
