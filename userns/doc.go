// Package userns plans the user namespaces of sbx: which subordinate ids the
// supervisor's namespace gets, what is left to do when there are none, and how
// the ids of a nested namespace map onto it. user_namespaces(7), subuid(5).
//
// The supervisor's namespace has 0 for the user and 1..N for the subordinate
// ids. The planning is pure; the writing of /proc/PID/uid_map is newuidmap's
// business, at the request of rootlesskit.
package userns
