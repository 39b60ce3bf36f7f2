package wire_test

import (
	"errors"
	"reflect"
	"testing"

	"sbx/internal/wire"
)

type inner struct{ Name string }

func (i *inner) Fields(c *wire.Coder) { c.String(&i.Name) }

type message struct {
	Text  string
	List  []string
	Data  []byte
	Yes   bool
	Num   int
	Small uint16
	Big   uint64
	Map   map[string]string
	Many  []inner
	Maybe *int
}

func (m *message) Fields(c *wire.Coder) {
	c.String(&m.Text)
	c.Strings(&m.List)
	c.Bytes(&m.Data)
	c.Bool(&m.Yes)
	wire.Int(c, &m.Num)
	wire.Int(c, &m.Small)
	wire.Int(c, &m.Big)
	c.Map(&m.Map)
	wire.List(c, &m.Many)
	wire.Optional(c, &m.Maybe, func(p *int) { wire.Int(c, p) })
}

func full() *message {
	minus := -1
	return &message{"héllo\n\x00", []string{"", "b"}, []byte{0, 255}, true, -5, 65535, 1<<64 - 1,
		map[string]string{"k": "v", "": ""}, []inner{{"x"}, {""}}, &minus}
}

func TestRoundTrip(t *testing.T) {
	for _, want := range []*message{full(), {}} {
		var got message
		if err := wire.Decode(wire.Append(nil, want), &got); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(&got, want) {
			t.Errorf("got %+v, want %+v", got, *want)
		}
	}
}

// Every packet that is cut off, or goes on, is refused: none may be taken for
// another one.
func TestDamaged(t *testing.T) {
	data := wire.Append(nil, full())
	for n := range data {
		if err := wire.Decode(data[:n], &message{}); !errors.Is(err, wire.ErrFormat) {
			t.Errorf("cut after %d bytes: %v", n, err)
		}
	}
	if err := wire.Decode(append(data, 0), &message{}); !errors.Is(err, wire.ErrFormat) {
		t.Errorf("one byte more: %v", err)
	}
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}
	if err := wire.Decode(huge, &inner{}); !errors.Is(err, wire.ErrFormat) {
		t.Errorf("a string of 2^64-1 bytes: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(wire.Append(nil, full()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		var m, again message
		if wire.Decode(data, &m) != nil {
			return
		}
		if err := wire.Decode(wire.Append(nil, &m), &again); err != nil || !reflect.DeepEqual(m, again) {
			t.Errorf("%+v became %+v: %v", m, again, err)
		}
	})
}
