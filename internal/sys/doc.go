// Package sys wraps the system calls that sbx is made of: mounts by descriptor,
// processes by pidfd, entering namespaces, sealed memory files.
//
// A wrapper takes and returns descriptors that are close-on-exec, retries EINTR,
// and names the system call in its error. It decides nothing: what is done in
// which order is the business of the callers.
package sys
