package api

import (
	"errors"
	"fmt"
	"syscall"
)

// Error is the one error type that reaches a user. It travels over the socket
// whole, so the errno survives for errors.Is on the other side.
//
// It prints as "mount overlay /data/x: permission denied: hint".
type Error struct {
	Op    string        `json:"op"`             // step in kernel or Docker terms: "mount overlay", "create sandbox"
	Path  string        `json:"path,omitempty"` // object, if there is one
	Msg   string        `json:"msg,omitempty"`  // cause in words, when there is no errno
	Errno syscall.Errno `json:"errno,omitempty"`
	Hint  string        `json:"hint,omitempty"` // one sentence the user can act on
	Code  int           `json:"code,omitempty"` // exit status for the CLI; 0 means 125
	// Namespaceless says that this machine, or this place on it, has no user
	// namespaces: what can do without them may.
	Namespaceless bool `json:"namespaceless,omitempty"`
}

// Exit statuses as docker run has them; a program's own status and 128+n are
// the remaining ones.
const (
	ExitFault         = 125 // sbx itself
	ExitNotExecutable = 126
	ExitNotFound      = 127
)

func (e *Error) Error() string {
	s := e.Op
	if e.Path != "" {
		s += " " + e.Path
	}
	switch {
	case e.Msg != "":
		s += ": " + e.Msg
	case e.Errno != 0:
		s += ": " + e.Errno.Error()
	}
	if e.Hint != "" {
		s += ": " + e.Hint
	}
	return s
}

// Unwrap gives the errno to errors.Is.
func (e *Error) Unwrap() error {
	if e.Errno == 0 {
		return nil
	}
	return e.Errno
}

// ExitCode is the exit status that the CLI ends with for this error.
func (e *Error) ExitCode() int {
	if e.Code != 0 {
		return e.Code
	}
	return ExitFault
}

// Errorf makes an Error from a step, its object and a cause in words. It and WithHint
// are called in so many places that inlining them shows in the size of the program.
//
//go:noinline
func Errorf(op, path, format string, args ...any) *Error {
	return &Error{Op: op, Path: path, Msg: fmt.Sprintf(format, args...)}
}

// Wrap makes an Error from any error. An *Error passes through unchanged.
func Wrap(op, path string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	e = &Error{Op: op, Path: path}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		e.Errno = errno
	}
	if msg := err.Error(); e.Errno == 0 || msg != e.Errno.Error() {
		e.Msg = msg
	}
	return e
}

// WithHint returns e with the remedy set.
//
//go:noinline
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// WithCode returns e with the CLI's exit status set.
func (e *Error) WithCode(code int) *Error {
	e.Code = code
	return e
}
