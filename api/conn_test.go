package api

import (
	"io"
	"os"
	"strings"
	"testing"
)

func pair(t *testing.T) (*Conn, *Conn) {
	t.Helper()
	a, b, err := Pair("test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestPacketsCarryBodiesErrorsAndFiles(t *testing.T) {
	a, b := pair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	// Larger than a packet in the socket can be: it goes by way of a memory file.
	long := strings.Repeat("x", 300<<10)
	for _, text := range []string{"short", long} {
		if err := a.Send(KindOut, Text{text}, w); err != nil {
			t.Fatal(err)
		}
		p, err := b.Recv()
		if err != nil {
			t.Fatal(err)
		}
		var got Text
		if err := p.Decode(&got); err != nil || got.Text != text || len(p.Files) != 1 {
			t.Fatalf("got %d bytes, %d files, error %v", len(got.Text), len(p.Files), err)
		}
		p.CloseFiles()
	}
	w.Close()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("a copy of the pipe is still open: %d, %v", n, err)
	}
	want := Errorf("mount", "/x", "no").WithHint("do that").WithCode(126)
	if err := a.Send(KindFault, want); err != nil {
		t.Fatal(err)
	}
	if p, err := b.Recv(); err != nil || p.Error == nil || *p.Error != *want {
		t.Errorf("got %+v, %v", p, err)
	}
}

// A peer that goes away with a packet of ours unread must not take with it what
// it had said before.
func TestLastWordsAreHeard(t *testing.T) {
	a, b := pair(t)
	if err := b.Send("unread", nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Send(KindExited, Done{Code: 3}); err != nil {
		t.Fatal(err)
	}
	a.Close()
	p, err := b.Recv()
	if err != nil || p.Kind != KindExited {
		t.Fatalf("got %+v, %v", p, err)
	}
	if _, err := b.Recv(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

func TestGarbageIsRefused(t *testing.T) {
	a, b := pair(t)
	for _, garbage := range []string{"no newline", "L", "fault\n", "fault\n[]"} {
		if err := a.SendRaw([]byte(garbage)); err != nil {
			t.Fatal(err)
		}
		if p, err := b.Recv(); err == nil {
			t.Errorf("%q was taken for %+v", garbage, p)
		}
	}
	if err := a.Send("fine", nil); err != nil {
		t.Fatal(err)
	}
	if p, err := b.Recv(); err != nil || p.Kind != "fine" {
		t.Errorf("after garbage: %+v, %v", p, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("run\n{}"))
	f.Add([]byte(`fault` + "\n" + `{"op":"mount"}`))
	f.Add([]byte("L"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := parse(data, nil, 0)
		if (err == nil) == (p == nil) {
			t.Fatal("want a packet or an error")
		}
		if err == nil && (p.Kind == KindFault) != (p.Error != nil) {
			t.Error("a fault without its error")
		}
	})
}
