package logfile

import (
	"bytes"
	"context"
	"io"
)

// position is the place of a record in a log.
type position struct {
	seq int // of the file
	off int64
}

func (p position) before(q position) bool {
	return p.seq < q.seq || p.seq == q.seq && p.off < q.off
}

// lookBack bounds how many bytes of the other stream may lie between the parts
// of a line for tailStart to find the first. Without a bound a single line on
// standard error would make it read the whole log.
const lookBack = 1 << 20

// tailStart is where the last n lines start, for each stream: lines of the two
// lie between each other, in parts.
func tailStart(ctx context.Context, files []*file, n int) ([streams]position, error) {
	t := tail{want: n}
	if len(files) == 0 {
		return t.first, nil
	}
	last := files[len(files)-1]
	end, err := lineStart(last, last.info.Size())
	if err != nil {
		return t.first, err
	}
	// The end, for a stream of which no line is wanted. A half record at the end
	// is wanted only if there is room for it.
	for s := range t.first {
		t.first[s] = position{last.seq, end}
	}
	if n == 0 {
		return t.first, nil
	}
	for i := len(files) - 1; i >= 0 && !t.enough(); i-- {
		if err := t.file(ctx, files[i]); err != nil {
			return t.first, err
		}
	}
	if t.got < t.want {
		return [streams]position{}, nil // all of it
	}
	return t.first, nil
}

// tail sees the records of a log from the last to the first.
type tail struct {
	want, got int
	first     [streams]position // of the records that are wanted
	seen      [streams]bool     // some record
	closed    [streams]bool     // an older record belongs to no wanted line
	idle      int64             // bytes since the last part of a wanted line
}

const tailBlock = 64 << 10

func (t *tail) file(ctx context.Context, f *file) error {
	buf := make([]byte, 1+tailBlock+headLen)
	for hi := f.info.Size(); hi > 0 && !t.enough(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		lo := max(0, hi-tailBlock)
		// One byte more in front, to see whether a record starts at lo, and a
		// header more behind, for a record that starts just before hi.
		from := max(0, lo-1)
		n, err := f.ReadAt(buf[:min(int64(len(buf)), f.info.Size()-from)], from)
		if err != nil && err != io.EOF {
			return err
		}
		t.block(buf[:n], position{f.seq, from}, lo, hi)
		hi = lo
	}
	return nil
}

// block sees the records that start in [lo, hi), in data read from position at.
func (t *tail) block(data []byte, at position, lo, hi int64) {
	next := min(hi, at.off+int64(len(data)))
	for next > lo && !t.enough() {
		start := at.off // of the newest record that starts before next
		if i := bytes.LastIndexByte(data[:next-1-at.off], '\n'); i >= 0 {
			start += int64(i) + 1
		} else if at.off > 0 {
			return // it starts in an earlier block
		}
		if rec, ok := parse(data[start-at.off:]); ok {
			t.record(rec, position{at.seq, start})
		}
		t.idle += next - start
		next = start
	}
}

func (t *tail) record(r record, at position) {
	s := r.stream
	if t.closed[s] {
		return
	}
	if r.full || !t.seen[s] { // the last part of a line
		if t.got == t.want {
			t.closed[s] = true
			return
		}
		t.got++
	}
	t.seen[s] = true
	t.first[s] = at
	t.idle = 0
}

// enough tells whether older records are of no interest.
func (t *tail) enough() bool {
	if t.got < t.want {
		return false
	}
	for s := range streams {
		if t.seen[s] && !t.closed[s] && t.idle < lookBack {
			return false
		}
	}
	return true
}
