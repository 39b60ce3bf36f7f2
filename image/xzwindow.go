package image

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// xzWindow passes xz data on and refuses a block that wants a larger dictionary than
// most: the decoder, which has no limit of its own, takes as much memory, and a few
// bytes can ask for 4 GiB. Blocks are found by the lengths that the format gives; all
// else, checksums too, is the decoder's business.
//
// The format: https://tukaani.org/xz/xz-file-format.txt, version 1.2.1; the chunks of
// LZMA2: Documentation/staging/xz.rst and lib/xz/xz_dec_lzma2.c of Linux.
type xzWindow struct {
	in    *bufio.Reader
	most  uint64
	head  []byte // to be passed on next
	skip  int64  // then so many bytes as they are
	next  func() error
	block int64 // bytes of compressed data in this block
	check int64 // bytes behind each block
}

func newXZWindow(in *bufio.Reader, most uint64) *xzWindow {
	x := &xzWindow{in: in, most: most}
	x.next = x.stream
	return x
}

// Read implements io.Reader.
func (x *xzWindow) Read(p []byte) (int, error) {
	for len(p) > 0 && len(x.head) == 0 && x.skip == 0 {
		if err := x.next(); err != nil {
			return 0, err
		}
	}
	if len(x.head) > 0 {
		n := copy(p, x.head)
		x.head = x.head[n:]
		return n, nil
	}
	n, err := x.in.Read(p[:min(int64(len(p)), x.skip)])
	x.skip -= int64(n)
	return n, err
}

// take appends n bytes to head and returns them.
func (x *xzWindow) take(n int) ([]byte, error) {
	at := len(x.head)
	x.head = append(x.head, make([]byte, n)...)
	_, err := io.ReadFull(x.in, x.head[at:])
	return x.head[at:], err
}

// stream is a stream header, or padding between streams.
func (x *xzWindow) stream() error {
	x.head = nil
	b, err := x.take(4)
	if err != nil || bytes.Equal(b, make([]byte, 4)) {
		return err
	}
	if b, err = x.take(8); err != nil {
		return noEOF(err)
	}
	sizes := [16]int64{0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64}
	x.check, x.next = sizes[b[3]&15], x.header
	return nil
}

// header is that of a block, or the index behind the last.
func (x *xzWindow) header() error {
	x.head = nil
	b, err := x.take(1)
	if err != nil {
		return noEOF(err)
	}
	if b[0] == 0 {
		return x.index()
	}
	if b, err = x.take(int(b[0])*4 + 3); err != nil {
		return noEOF(err)
	}
	x.block, x.next = 0, x.chunk
	return x.filters(b)
}

var errXZ = errors.New("its blocks are not those of xz")

// filters looks for the dictionary of LZMA2 in a block header without its first byte.
func (x *xzWindow) filters(b []byte) error {
	const lzma2 = 0x21
	in := bytes.NewReader(b[1:])
	for _, there := range []byte{0x40, 0x80} { // sizes
		if b[0]&there != 0 {
			if _, err := binary.ReadUvarint(in); err != nil {
				return errXZ
			}
		}
	}
	for range b[0]&3 + 1 {
		id, err := binary.ReadUvarint(in)
		size, err2 := binary.ReadUvarint(in)
		if err != nil || err2 != nil || size > uint64(in.Len()) {
			return errXZ
		}
		props := make([]byte, size)
		if _, err := io.ReadFull(in, props); err != nil {
			return errXZ
		}
		if id != lzma2 || size != 1 {
			continue
		}
		bits := props[0] & 0x3f
		if dict := uint64(2|bits&1) << (bits/2 + 11); dict > x.most {
			return fmt.Errorf("it wants a dictionary of %s, %s is the limit", human(int64(min(dict, 4<<30))), human(int64(x.most)))
		}
	}
	return nil
}

// chunk is a piece of LZMA2, or the end of a block.
func (x *xzWindow) chunk() error {
	x.head = nil
	b, err := x.take(1)
	if err != nil {
		return noEOF(err)
	}
	more := 0
	switch control := b[0]; {
	case control == 0:
		x.skip, x.next = -(x.block+1)&3+x.check, x.header
		return nil
	case control == 1, control == 2: // not compressed
		if b, err = x.take(2); err != nil {
			return noEOF(err)
		}
	case control >= 0x80:
		if control >= 0xc0 {
			more = 1 // properties
		}
		if b, err = x.take(4); err != nil {
			return noEOF(err)
		}
		b = b[2:]
	default:
		return errXZ
	}
	x.skip = int64(binary.BigEndian.Uint16(b)) + 1 + int64(more)
	x.block += int64(len(x.head)) + x.skip
	return nil
}

// index passes on the index and the stream's footer.
func (x *xzWindow) index() error {
	const most = 1 << 20 // records: a block each
	records, err := x.number()
	if err != nil || records > most {
		return errors.Join(errXZ, err)
	}
	for range 2 * records {
		if _, err := x.number(); err != nil {
			return err
		}
	}
	const sum, footer = 4, 12
	_, err = x.take(-len(x.head)&3 + sum + footer)
	x.next = x.stream
	return noEOF(err)
}

func (x *xzWindow) number() (uint64, error) {
	var n uint64
	for shift := 0; shift < 63; shift += 7 {
		b, err := x.take(1)
		if err != nil {
			return 0, noEOF(err)
		}
		n |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			return n, nil
		}
	}
	return 0, errXZ
}
