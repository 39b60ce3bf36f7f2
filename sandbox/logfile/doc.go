// Package logfile keeps what a sandbox prints, and gives it back.
//
// A log is a directory with the files log (current), log.1, log.2, ... (older).
// A record is one line in the format of the Kubernetes CRI, which podman calls
// k8s-file:
//
//	2026-11-22T07:00:00.123456789Z stdout F text
//
// F ends a line of the program, P is a part of one that goes on in the next
// record of the same stream. The text may hold any byte but a newline, so that
// the records of a stream give back exactly the bytes that were written to it.
// Timestamps are UTC and of fixed width: they sort as text.
//
// One process writes, any number may read at the same time without a lock. The
// package is part of every monitor: it holds no memory until there is output.
package logfile
