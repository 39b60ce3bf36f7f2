package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"

	"sbx/api"
)

// stream passes a tar archive on, byte for byte, so that the layer's digest is
// that of the archive. A byte is let through only when the header it belongs to
// has been checked. The parser is the one that unpacks, archive/tar, so that both
// see the same entries.
type stream struct {
	ctx     context.Context
	src     io.Reader // unpacked
	packed  *counter  // below the decompression
	check   *checker
	tr      *tar.Reader
	tee     io.Reader
	pending gap    // read and checked, not yet passed on
	scratch []byte // where bodies go; their bytes are in pending
	state   state
	last    string // name of the entry before, for messages
	total   int64  // bytes read of src
	err     error  // sticky
}

type state int

const (
	atHeader state = iota
	inBody
	atTail // behind the end-of-archive mark: padding
)

func newStream(ctx context.Context, src io.Reader, packed *counter, check *checker) *stream {
	s := &stream{ctx: ctx, src: src, packed: packed, check: check, scratch: make([]byte, 1<<16)}
	s.tee = io.TeeReader(io.Reader(source{s}), &s.pending)
	s.tr = tar.NewReader(s.tee)
	return s
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	for s.pending.Len() == 0 {
		if s.err != nil {
			return 0, s.err
		}
		if err := s.advance(); err != nil {
			// What was read with the error is not passed on, except at the end.
			if !errors.Is(err, io.EOF) {
				s.pending.Reset()
			}
			s.err = err
		}
	}
	return s.pending.Read(p)
}

// fault is why the archive is refused; nil after a good one.
func (s *stream) fault() error {
	if s.err == io.EOF {
		return nil
	}
	return s.err
}

func (s *stream) advance() error {
	s.pending.limit = maxGap
	switch s.state {
	case inBody:
		_, err := s.tr.Read(s.scratch)
		if errors.Is(err, io.EOF) {
			s.state = atHeader
			return nil
		}
		return s.explain(err)
	case atTail:
		_, err := s.tee.Read(s.scratch)
		if err == io.EOF {
			return io.EOF
		}
		return s.explain(err)
	}
	h, err := s.tr.Next()
	if errors.Is(err, io.EOF) {
		return s.end()
	}
	if err != nil {
		return s.explain(err)
	}
	if err := s.first(); err != nil {
		return err
	}
	if err := s.check.check(h); err != nil {
		return err
	}
	s.last, s.state = h.Name, inBody
	return nil
}

// first refuses an archive that the storage library would take for a compressed
// one, and unpack once more: its first name may begin with anything.
func (s *stream) first() error {
	if s.check.entries > 0 {
		return nil
	}
	if format := compression(s.pending.Bytes()); format != "" {
		return refuse(repack, "the first entry begins like %s data", format)
	}
	return nil
}

// end is called where archive/tar sees the end. It takes the end of the data for
// one as well; a cut-off archive is told by the missing block of zeros.
func (s *stream) end() error {
	switch {
	case s.total == 0:
		return refuse("give it a tar archive of a root file system", "the archive is empty")
	case s.pending.Len() < 512:
		return refuse("fetch or pack it again", "the archive is cut off behind entry %q", s.last)
	case s.check.entries == 0:
		return refuse("give it a tar archive of a root file system", "the archive has no entries")
	}
	s.state = atTail
	return nil
}

func (s *stream) explain(err error) error {
	var e *api.Error
	var c *corrupt
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return e
	case errors.As(err, &c) && errors.Is(err, io.ErrUnexpectedEOF):
		return refuse("fetch or pack it again", "the %s data is cut off", c.format)
	case errors.As(err, &c):
		return refuse("fetch or pack it again", "the %s data is damaged: %v", c.format, c.err)
	case errors.Is(err, io.ErrUnexpectedEOF) && s.last == "":
		return refuse("give it a tar archive of a root file system, plain or packed with gzip, bzip2, xz or zstd", "not a tar archive")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refuse("fetch or pack it again", "the archive is cut off in or behind entry %q", s.last)
	case errors.Is(err, tar.ErrHeader) && s.last == "":
		return refuse("give it a tar archive of a root file system, plain or packed with gzip, bzip2, xz or zstd", "not a tar archive")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return refuse("fetch or pack it again", "the archive is damaged behind entry %q", s.last)
	}
	return err
}

// source counts what comes out of the decompression, and stops a bomb.
type source struct{ s *stream }

func (r source) Read(p []byte) (int, error) {
	s := r.s
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.src.Read(p)
	s.total += int64(n)
	const hint = "do not trust this archive"
	if s.total > ratioFrom && s.total/maxRatio > s.packed.n {
		return n, refuse(hint, "%s of data in %s of archive is a compression bomb", human(s.total), human(s.packed.n))
	}
	// Bodies were announced and have been compared already; this is for the rest,
	// and for a stream that does not end.
	if s.total-s.check.size > s.check.room.bytes {
		return n, refuse("free some space, or set SBX_DATA to a directory elsewhere",
			"the unpacked archive does not fit: %s is left for it", human(s.check.room.bytes))
	}
	return n, err
}

// counter counts the bytes of the archive as it came.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// gap is a buffer that refuses to grow: an archive may put any number of extended
// headers in front of one entry.
type gap struct {
	bytes.Buffer
	limit int
}

func (g *gap) Write(p []byte) (int, error) {
	if g.Len()+len(p) > g.limit {
		return 0, refuse("do not trust this archive", "an entry has more than %s of headers", human(int64(g.limit)))
	}
	return g.Buffer.Write(p)
}
