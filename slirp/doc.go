// Package slirp connects the supervisor's network namespace, the switch, to the
// host's network without privilege: by pasta(1), or by slirp4netns(1) where that
// is missing. One that dies is started again, one that could not be started, when
// the host's routes change. Published ports, the way in, are package ports; TCP that goes
// out passes by these programs, package out.
//
// A way out that cannot be had is no error: sandboxes with --network none or
// host work without it. Outlet says which way there is, or why there is none.
package slirp
