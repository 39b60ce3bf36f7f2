// Package sandbox is the supervisor: it turns what a user asks for into sandboxes
// and keeps account of them. It is the only place where the facilities (images,
// user namespaces, networks) meet.
//
// Sandboxes do not depend on the process that runs this package. Each has a
// monitor of its own and its files; a supervisor that starts finds those that the
// last one left (recover.go).
package sandbox
