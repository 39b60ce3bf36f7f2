// Package undo takes back the steps of something that was half built.
package undo

import (
	"errors"
	"fmt"
	"slices"
)

// Stack holds what to undo. The zero value is ready.
//
//	var undo undo.Stack
//	defer undo.Unwind(&err)
//	...
//	undo.Add("rmdir "+dir, func() error { return os.Remove(dir) })
type Stack struct{ steps []step }

type step struct {
	name string
	undo func() error
}

// Add puts a step on top.
func (s *Stack) Add(name string, undo func() error) {
	s.steps = append(s.steps, step{name, undo})
}

// Unwind undoes everything, newest first, if *err is an error. What could not
// be undone is joined to it.
func (s *Stack) Unwind(err *error) {
	if *err != nil {
		*err = errors.Join(*err, s.Close())
	}
}

// Close undoes everything, newest first. Every step runs.
func (s *Stack) Close() error {
	var errs []error
	for _, step := range slices.Backward(s.steps) {
		if err := step.undo(); err != nil {
			errs = append(errs, fmt.Errorf("undo %s: %w", step.name, err))
		}
	}
	s.steps = nil
	return errors.Join(errs...)
}

// Release forgets the steps: what was built is now somebody else's.
func (s *Stack) Release() { s.steps = nil }
