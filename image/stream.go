package image

import (
	"archive/tar"
	"errors"
	"io"

	"sbx/api"
)

// stream is the decompressed layer as the unpacking sees it: headers, each behind
// the raw bytes that tar-split keeps, and bodies. What it reads is counted, and a
// bomb is stopped.
type stream struct {
	feed   *feed
	check  *checker
	split  *splitter
	report func(int64) // may be nil
	tr     *tar.Reader
	cur    *chunk
	rest   []byte // of cur
	raw    []byte // read by tr since the last segment
	last   string // name of the entry before, for messages
	total  int64  // bytes taken of feed
}

func newStream(f *feed, check *checker, split *splitter, report func(int64)) *stream {
	s := &stream{feed: f, check: check, split: split, report: report}
	s.tr = tar.NewReader(s)
	return s
}

// Read implements io.Reader for archive/tar. It keeps what it hands out, which a
// hostile archive must not make large: it may put any number of extended headers
// in front of one entry.
func (s *stream) Read(p []byte) (int, error) {
	if len(s.raw) >= maxGap {
		return 0, refuse("do not trust this archive", "an entry has more than %s of headers", human(maxGap))
	}
	view, err := s.view(min(len(p), maxGap))
	if err != nil {
		return 0, err
	}
	n := copy(p, view)
	s.raw = append(s.raw, view...)
	return n, nil
}

// view takes up to limit bytes, and at least one. They are good until the next call.
func (s *stream) view(limit int) ([]byte, error) {
	if limit == 0 {
		return nil, nil
	}
	for len(s.rest) == 0 {
		if err := s.fetch(); err != nil {
			return nil, err
		}
	}
	v := s.rest[:min(limit, len(s.rest))]
	s.rest = s.rest[len(v):]
	return v, nil
}

// fetch takes the next chunk.
func (s *stream) fetch() error {
	if s.cur != nil {
		s.feed.release(s.cur)
		s.cur = nil
	}
	c, ok := <-s.feed.ready
	if !ok && s.feed.err == nil {
		return io.EOF
	}
	if !ok {
		return s.feed.err
	}
	s.cur, s.rest = c, c.data
	s.total += int64(len(c.data))
	if s.report != nil {
		s.report(s.total)
	}
	if err := s.feed.ctx.Err(); err != nil {
		return err
	}
	if s.total > ratioFrom && s.total/maxRatio > c.packed {
		return refuse("do not trust this archive", "%s of data in %s of archive is a compression bomb", human(s.total), human(c.packed))
	}
	// Bodies were announced and have been compared already; this is for the rest,
	// and for a stream that does not end.
	if s.total-s.check.size > s.check.room.bytes {
		return refuse(makeRoom, "the unpacked archive does not fit: %s is left for it", human(s.check.room.bytes))
	}
	return nil
}

// next returns the next header that may be unpacked, and its cleaned name; nil at
// the end of the archive.
func (s *stream) next() (*tar.Header, string, error) {
	h, err := s.tr.Next()
	if errors.Is(err, io.EOF) {
		return nil, "", s.end()
	}
	if err != nil {
		return nil, "", s.explain(err)
	}
	if s.check.entries == 0 && s.check.rootfs {
		if err := s.first(); err != nil {
			return nil, "", err
		}
	}
	name, refusal := s.check.check(h)
	if refusal != nil {
		return nil, "", refusal
	}
	s.last = h.Name
	return h, name, s.segment()
}

// segment gives the raw bytes to tar-split.
func (s *stream) segment() error {
	err := s.split.segment(s.raw)
	s.raw = s.raw[:0]
	return err
}

// body passes the body of a plain file on, in pieces as they come, and then skips
// the padding. It goes around tr, which has no way to do it without a copy.
func (s *stream) body(size int64, use func([]byte) error) error {
	for left := size; left > 0; {
		v, err := s.view(int(min(left, chunkSize)))
		if err != nil {
			return s.explain(noEOF(err))
		}
		left -= int64(len(v))
		if err := use(v); err != nil {
			return err
		}
	}
	for left := int(-size & 511); left > 0; {
		v, err := s.view(left)
		if err != nil {
			return s.explain(noEOF(err))
		}
		s.raw = append(s.raw, v...)
		left -= len(v)
	}
	// The old one would look for the body. Nothing but a header in front of the next
	// entry is kept from one entry to another.
	s.tr = tar.NewReader(s)
	return nil
}

// rawBody passes on a body whose bytes in the archive are not those of the file, as
// archive/tar makes them of a sparse file. The raw ones go to tar-split.
func (s *stream) rawBody(use func([]byte) error) error {
	buf := make([]byte, 64<<10)
	for {
		// A hole is read without anything being fetched.
		if err := s.feed.ctx.Err(); err != nil {
			return err
		}
		n, err := s.tr.Read(buf)
		if use != nil && n > 0 {
			if err := use(buf[:n]); err != nil {
				return err
			}
		}
		if err := s.segment(); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return s.explain(err)
		}
	}
}

// tail takes what is behind the end of the archive: padding.
func (s *stream) tail() error {
	if err := s.segment(); err != nil {
		return err
	}
	for {
		v, err := s.view(chunkSize)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return s.explain(err)
		}
		if err := s.split.segment(v); err != nil {
			return err
		}
	}
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// first refuses an archive that other tools would take for a compressed one, and
// unpack once more, when they get it as a layer: its first name may begin with
// anything.
func (s *stream) first() error {
	if format := compression(s.raw); format != "" {
		return refuse(repack, "the first entry begins like %s data", format)
	}
	return nil
}

// end is called where archive/tar sees the end. It takes the end of the data for
// one as well; a cut-off archive is told by the missing block of zeros. A layer
// may be empty, and its digest tells whether it is whole.
func (s *stream) end() error {
	switch {
	case !s.check.rootfs:
		return nil
	case s.total == 0:
		return refuse("give it a tar archive of a root file system", "the archive is empty")
	case len(s.raw) < 512:
		return refuse("fetch or pack it again", "the archive is cut off behind entry %q", s.last)
	case s.check.entries == 0:
		return refuse("give it a tar archive of a root file system", "the archive has no entries")
	}
	return nil
}

func (s *stream) explain(err error) error {
	var e *api.Error
	var c *corrupt
	var source *readError
	again := s.check.advice("fetch or pack it again")
	what := s.check.advice("give it a tar archive of a root file system, plain or packed with gzip, bzip2, xz or zstd")
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &source):
		return source
	case errors.As(err, &c) && errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(again, "the %s data is cut off", c.format)
	case errors.As(err, &c):
		return refuse(again, "the %s data is damaged: %v", c.format, c.err)
	case errors.Is(err, io.ErrUnexpectedEOF) && s.last == "":
		return refuse(what, "not a tar archive")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(again, "the archive is cut off in or behind entry %q", s.last)
	case errors.Is(err, tar.ErrHeader) && s.last == "":
		return refuse(what, "not a tar archive")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return refuse(again, "the archive is damaged behind entry %q", s.last)
	}
	return err
}
