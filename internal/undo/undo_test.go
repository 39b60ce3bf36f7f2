package undo

import (
	"errors"
	"slices"
	"testing"
)

func TestUnwindNewestFirst(t *testing.T) {
	var order []string
	broken := errors.New("broken")
	build := func(fail bool) (err error) {
		var s Stack
		defer s.Unwind(&err)
		s.Add("one", func() error { order = append(order, "one"); return nil })
		s.Add("two", func() error { order = append(order, "two"); return broken })
		s.Add("three", func() error { order = append(order, "three"); return nil })
		if fail {
			return errors.New("cause")
		}
		return nil
	}
	if err := build(false); err != nil || order != nil {
		t.Fatalf("success undid %v, error %v", order, err)
	}
	err := build(true)
	if !slices.Equal(order, []string{"three", "two", "one"}) {
		t.Errorf("undid %v", order)
	}
	if err == nil || !errors.Is(err, broken) || err.Error() != "cause\nundo two: broken" {
		t.Errorf("error %q", err)
	}
}

func TestReleaseForgets(t *testing.T) {
	var s Stack
	s.Add("never", func() error { t.Error("undone after Release"); return nil })
	s.Release()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
