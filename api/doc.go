// Package api holds what travels between the command line, the supervisor and
// the monitors: specifications, status, errors and the packets that carry them.
//
// It does no I/O but on the socket it is given, and imports nothing heavy: it is
// part of every process of sbx, the ones inside a sandbox included.
package api
