package api_test

import (
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"sbx/api"
)

func TestPeek(t *testing.T) {
	a, b, err := api.Pair("test")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Peek(); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("of nothing: %v", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if err := a.Send(api.KindSignal, api.Signal{Num: 2}, null); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		p, err := b.Peek()
		var s api.Signal
		if err != nil || p.Kind != api.KindSignal || p.Decode(&s) != nil || s.Num != 2 {
			t.Fatalf("%+v, %v", p, err)
		}
		p.CloseFiles()
	}
	p, err := b.Recv()
	if err != nil || p.Kind != api.KindSignal || len(p.Files) != 1 {
		t.Fatalf("after the peeks: %+v, %v", p, err)
	}
	p.CloseFiles()
	a.Close()
	if _, err := b.Peek(); !errors.Is(err, io.EOF) {
		t.Errorf("of the end: %v", err)
	}
}

// A peer that does not read gets what fits, and holds nobody up.
func TestTrySend(t *testing.T) {
	a, b, err := api.Pair("test")
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	defer b.Close()
	sent := 0
	for ; err == nil && sent < 1_000_000; sent++ {
		err = a.TrySend(api.KindProgress, &api.Progress{Line: "x"})
	}
	if !errors.Is(err, unix.EAGAIN) || sent < 2 {
		t.Fatalf("after %d packets: %v", sent, err)
	}
	p, err := b.Recv()
	if err != nil || p.Kind != api.KindProgress {
		t.Fatalf("%+v, %v", p, err)
	}
	if err := a.TrySend(api.KindProgress, &api.Progress{}); err != nil {
		t.Errorf("with room again: %v", err)
	}
}
