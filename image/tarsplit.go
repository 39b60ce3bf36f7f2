package image

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/vbatts/tar-split/tar/storage"
)

// splitter writes what tar-split needs to make the archive of a layer again, byte
// for byte, from the unpacked files: the bytes between the bodies, and where each
// body is found. It is the format of github.com/vbatts/tar-split, one JSON object
// a line, packed with gzip, as the storage library keeps it beside a layer.
type splitter struct {
	z       *gzip.Writer
	line    []byte
	entries int // so far
}

func newSplitter(w io.Writer) *splitter {
	z, err := gzip.NewWriterLevel(w, gzip.BestSpeed)
	if err != nil {
		panic(err) // the level is a constant
	}
	return &splitter{z: z}
}

// segment records raw bytes.
func (s *splitter) segment(raw []byte) error {
	for len(raw) > 0 {
		n := min(len(raw), chunkSize)
		if err := s.entry(storage.SegmentType, "", 0, raw[:n]); err != nil {
			return err
		}
		raw = raw[n:]
	}
	return nil
}

// file records that a body of the given size and checksum is in the file name.
func (s *splitter) file(name string, size int64, sum uint64) error {
	return s.entry(storage.FileType, name, size, binary.BigEndian.AppendUint64(nil, sum))
}

// entry writes a storage.Entry. This is what encoding/json makes of it, but for
// names that need escapes: those are written in the form for names that are not
// UTF-8.
func (s *splitter) entry(kind storage.Type, name string, size int64, payload []byte) error {
	b := append(s.line[:0], `{"type":`...)
	b = strconv.AppendInt(b, int64(kind), 10)
	switch {
	case name == "":
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(`"\<>&`, r) }):
		b = append(b, `,"name_raw":"`...)
		b = base64.StdEncoding.AppendEncode(b, []byte(name))
		b = append(b, '"')
	default:
		b = append(b, `,"name":"`...)
		b = append(b, name...)
		b = append(b, '"')
	}
	if size != 0 {
		b = append(b, `,"size":`...)
		b = strconv.AppendInt(b, size, 10)
	}
	b = append(b, `,"payload":"`...)
	b = base64.StdEncoding.AppendEncode(b, payload)
	b = append(b, `","position":`...)
	b = strconv.AppendInt(b, int64(s.entries), 10)
	b = append(b, "}\n"...)
	s.line = b
	s.entries++
	_, err := s.z.Write(b)
	return err
}

func (s *splitter) Close() error { return s.z.Close() }

// splitEntries calls use with every entry of what a splitter has written.
func splitEntries(r io.Reader, use func(at int, e *storage.Entry) error) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	in := json.NewDecoder(z)
	for at := 0; ; at++ {
		var e storage.Entry
		if err := in.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := use(at, &e); err != nil {
			return err
		}
	}
}

// merge writes the entries of from again. Bodies of files that were replaced by a
// later entry, which find opens, become raw bytes: tar-split knows one body a name.
func merge(to *splitter, from *os.File, find func(at int, name string) (*os.File, error)) error {
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return err
	}
	buf := make([]byte, chunkSize)
	return splitEntries(from, func(at int, e *storage.Entry) error {
		if e.Type == storage.SegmentType {
			return to.segment(e.Payload)
		}
		f, err := find(at, e.GetName())
		if err != nil {
			return err
		}
		if f == nil {
			return to.entry(e.Type, e.GetName(), e.Size, e.Payload)
		}
		defer f.Close()
		for {
			n, err := f.Read(buf)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if err := to.segment(buf[:n]); err != nil {
				return err
			}
		}
	})
}
