// Package wire encodes the packets of the paths that are measured. A fresh
// process pays half a millisecond for what encoding/json works out about the
// types of a run; here each type lists its fields once, for both directions.
//
// The format has no names and no versions: both ends are of one protocol, which
// api.Hello has made sure of. Lengths and numbers are varints (encoding/binary).
package wire

import (
	"encoding/binary"
	"errors"
)

// Message lists its fields, always the same ones in the same order.
type Message interface{ Fields(*Coder) }

// Coder writes fields to a packet, or reads them from one.
type Coder struct {
	buf     []byte
	reading bool
	bad     bool
}

// ErrFormat is a packet that does not hold what its kind says.
var ErrFormat = errors.New("the packet is damaged")

// Append encodes m behind buf.
func Append(buf []byte, m Message) []byte {
	c := Coder{buf: buf}
	m.Fields(&c)
	return c.buf
}

// Decode fills m in. Byte slices of m refer to data.
func Decode(data []byte, m Message) error {
	c := Coder{buf: data, reading: true}
	m.Fields(&c)
	if c.bad || len(c.buf) > 0 {
		return ErrFormat
	}
	return nil
}

func (c *Coder) fail() {
	c.bad = true
	c.buf = nil
}

func (c *Coder) number(v uint64) uint64 {
	if !c.reading {
		c.buf = binary.AppendUvarint(c.buf, v)
		return v
	}
	v, n := binary.Uvarint(c.buf)
	if n <= 0 {
		c.fail()
		return 0
	}
	c.buf = c.buf[n:]
	return v
}

// count is the number of elements, each of which takes a byte at least.
func (c *Coder) count(n int) int {
	v := c.number(uint64(n))
	if c.reading && v > uint64(len(c.buf)) {
		c.fail()
		return 0
	}
	return int(v)
}

// Integer is any type of whole numbers.
type Integer interface {
	~int | ~int64 | ~uint16 | ~uint32 | ~uint64
}

// Int codes a number.
func Int[T Integer](c *Coder, p *T) { *p = T(c.number(uint64(*p))) }

// Bool codes a truth value.
func (c *Coder) Bool(p *bool) {
	var v uint64
	if *p {
		v = 1
	}
	*p = c.number(v) != 0
}

// Bytes codes a byte slice. What is read is part of the packet.
func (c *Coder) Bytes(p *[]byte) {
	n := c.count(len(*p))
	if !c.reading {
		c.buf = append(c.buf, *p...)
		return
	}
	*p = nil
	if n > 0 {
		*p, c.buf = c.buf[:n:n], c.buf[n:]
	}
}

// String codes a string.
func (c *Coder) String(p *string) {
	n := c.count(len(*p))
	if !c.reading {
		c.buf = append(c.buf, *p...)
		return
	}
	*p, c.buf = string(c.buf[:n]), c.buf[n:]
}

// list makes room for the elements that are to be read. An empty list is nil.
func list[T any](c *Coder, p *[]T) {
	n := c.count(len(*p))
	if c.reading {
		*p = nil
		if n > 0 {
			*p = make([]T, n)
		}
	}
}

// Strings codes a list of strings.
func (c *Coder) Strings(p *[]string) {
	list(c, p)
	for i := range *p {
		c.String(&(*p)[i])
	}
}

// List codes a list of messages.
func List[T any, P interface {
	*T
	Message
}](c *Coder, p *[]T) {
	list(c, p)
	for i := range *p {
		P(&(*p)[i]).Fields(c)
	}
}

// Map codes a map. An empty one is nil.
func (c *Coder) Map(p *map[string]string) {
	n := c.count(len(*p))
	if !c.reading {
		for k, v := range *p {
			c.String(&k)
			c.String(&v)
		}
		return
	}
	*p = nil
	if n > 0 {
		*p = make(map[string]string, min(n, 1024))
	}
	for range n {
		var k, v string
		c.String(&k)
		c.String(&v)
		if c.bad {
			return
		}
		(*p)[k] = v
	}
}

// Optional codes a value that need not be there.
func Optional[T any](c *Coder, p **T, code func(*T)) {
	there := *p != nil
	c.Bool(&there)
	if c.reading {
		*p = nil
		if there {
			*p = new(T)
		}
	}
	if there {
		code(*p)
	}
}
