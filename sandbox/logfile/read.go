package logfile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// readSize is the size of one pread(2). It must be larger than a record.
const readSize = 256 << 10

// ReadOptions choose what of a log is read. They are Docker's, except that the
// parts of a line count as one line.
type ReadOptions struct {
	Follow     bool
	Since      time.Time // lines that began earlier are left out; zero: none
	Until      time.Time // lines that began later are left out, and following ends then; zero: none
	Tail       int       // lines from the end, before Since and Until apply; negative: all
	Timestamps bool      // RFC 3339 with nine digits, UTC, and a space before each line
}

// Read writes the log in dir to out and errOut, oldest line first.
//
// Closing done says that the program has ended and the log will not grow; a nil
// done means that this is so already, or, with Follow, never will be. Without
// Follow, Read gives what is there when it starts. With it, Read ends when
// everything is read after done was closed, when the log is removed, or with the
// error of ctx. A follower that reads more slowly than the writer rotates
// misses the lines of the files that were dropped meanwhile.
//
// What is no record in a file, as a machine that lost power leaves it, is
// skipped and said on errOut.
func Read(ctx context.Context, dir string, o ReadOptions, out, errOut io.Writer, done <-chan struct{}) error {
	r := &reader{ctx: ctx, dir: dir, follow: o.Follow, print: newPrinter(o, out, errOut)}
	defer func() { closeFiles(r.files) }()
	if o.Follow {
		// Before the first look, or what happens after it goes unseen.
		w, err := newWatch(ctx, dir, o.Until, done)
		if err != nil {
			return err
		}
		defer w.close()
		r.watch = w
	}
	files, err := openFiles(ctx, dir)
	if err != nil {
		return err
	}
	if err := r.begin(files, o.Tail); err != nil {
		return err
	}
	return r.run(done)
}

// reader is the state of one Read.
type reader struct {
	ctx    context.Context
	dir    string
	follow bool
	watch  *watch // with follow
	print  *printer
	files  []*file // unread ones, oldest first
	seq    int
	start  [streams]position // of the first wanted record
	buf    []byte
	bad    int64 // damaged bytes not yet reported
	gone   bool  // the log was removed while it was followed
}

func (r *reader) begin(files []*file, tail int) error {
	r.buf = make([]byte, readSize)
	r.push(files)
	if !r.follow {
		// A program that prints faster than we do would keep us for ever.
		for _, f := range files {
			f.limit = f.info.Size()
		}
	}
	if tail < 0 {
		return nil
	}
	var err error
	r.start, err = tailStart(r.ctx, files, tail)
	if err != nil {
		return err
	}
	from := r.start[stdout]
	if r.start[stderr].before(from) {
		from = r.start[stderr]
	}
	for len(r.files) > 1 && r.files[0].seq < from.seq {
		r.pop()
	}
	if len(r.files) > 0 && r.files[0].seq == from.seq {
		r.files[0].off = from.off
	}
	return nil
}

func (r *reader) run(done <-chan struct{}) error {
	for ended := !r.follow; ; {
		if err := r.readAll(); err != nil {
			return err
		}
		if ended || r.gone {
			return r.finish(done)
		}
		if err := r.print.flush(); err != nil {
			return err
		}
		var err error
		if ended, err = r.watch.wait(); err != nil {
			return err
		}
	}
}

// finish prints the record that a dead writer has left half written, and flushes.
func (r *reader) finish(done <-chan struct{}) error {
	ended := true
	if done != nil {
		select {
		case <-done:
		default:
			ended = false
		}
	}
	if len(r.files) > 0 && ended {
		if err := r.torn(r.files[0]); err != nil {
			return err
		}
	}
	return errors.Join(r.reportDamage(), r.print.flush())
}

// readAll reads up to the end of the newest file.
func (r *reader) readAll() error {
	for {
		if len(r.files) > 0 {
			if err := r.readFile(r.files[0]); err != nil {
				return err
			}
		}
		if len(r.files) > 1 {
			// Never written again.
			if err := r.torn(r.files[0]); err != nil {
				return err
			}
			r.pop()
			continue
		}
		if !r.follow {
			return nil
		}
		more, err := r.findNewer()
		if err != nil || !more {
			return err
		}
		// The loop reads the old file once more: the writer may have added to
		// it between our reading its end and the rotation.
	}
}

// findNewer adds the files that rotation has made since the last look.
func (r *reader) findNewer() (bool, error) {
	var last *file
	if len(r.files) > 0 {
		last = r.files[0]
		emptied, unlinked, err := last.refresh()
		if err != nil || emptied {
			return emptied, err
		}
		if ok, err := stillCurrent(r.dir, r.files); err != nil || ok && !unlinked {
			return false, err
		}
	}
	files, err := openFiles(r.ctx, r.dir)
	if err != nil {
		return false, err
	}
	if last != nil {
		// A rotation leaves one file at any instant. The open one keeps the
		// directory from being freed, so inotify would not say that it is gone.
		r.gone = len(files) == 0
		known := slices.IndexFunc(files, func(f *file) bool { return os.SameFile(f.info, last.info) })
		closeFiles(files[:known+1])
		files = files[known+1:]
	}
	r.push(files)
	return len(files) > 0, nil
}

func (r *reader) push(files []*file) {
	for _, f := range files {
		r.seq++
		f.seq = r.seq
	}
	r.files = append(r.files, files...)
}

func (r *reader) pop() {
	closeFiles(r.files[:1])
	r.files = r.files[1:]
}

// readFile prints the whole records of f from its offset on.
func (r *reader) readFile(f *file) error {
	for f.off < f.limit {
		if err := r.ctx.Err(); err != nil {
			return err
		}
		n, err := f.ReadAt(r.buf, f.off)
		if err != nil && err != io.EOF {
			return err
		}
		whole := bytes.LastIndexByte(r.buf[:n], '\n') + 1
		if err := r.records(f, r.buf[:whole]); err != nil {
			return err
		}
		if whole == 0 && n == len(r.buf) {
			r.bad += int64(n) // far longer than a record
			whole = n
		}
		f.off += int64(whole)
		if whole == 0 || n < len(r.buf) {
			return nil
		}
	}
	return nil
}

// records prints lines, which begin at the offset of f.
func (r *reader) records(f *file, lines []byte) error {
	at := position{f.seq, f.off}
	for len(lines) > 0 {
		n := bytes.IndexByte(lines, '\n')
		if err := r.line(at, lines[:n]); err != nil {
			return err
		}
		lines = lines[n+1:]
		at.off += int64(n) + 1
	}
	return nil
}

func (r *reader) line(at position, line []byte) error {
	rec, ok := parse(line)
	if !ok {
		r.bad += int64(len(line)) + 1
		return nil
	}
	if at.before(r.start[rec.stream]) {
		return nil
	}
	if r.bad > 0 {
		if err := r.reportDamage(); err != nil {
			return err
		}
	}
	return r.print.record(rec)
}

// torn prints what is left in f: a record without its end.
func (r *reader) torn(f *file) error {
	if f.off >= f.limit {
		return nil
	}
	n, err := f.ReadAt(r.buf[:maxRecord], f.off)
	if err != nil && err != io.EOF {
		return err
	}
	if n == 0 || bytes.IndexByte(r.buf[:n], '\n') >= 0 {
		return nil // a reader that stopped at its limit
	}
	line := r.buf[:n]
	if n > flagAt {
		line[flagAt] = partial // its newline may be missing because there was none
	}
	return r.line(position{f.seq, f.off}, line)
}

func (r *reader) reportDamage() error {
	if r.bad == 0 {
		return nil
	}
	n := r.bad
	r.bad = 0
	return r.print.damage(filepath.Join(r.dir, name(0)), n)
}
