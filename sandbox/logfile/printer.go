package logfile

import (
	"fmt"
	"io"
	"time"
)

// flushAt bounds the output that waits in a printer.
const flushAt = 64 << 10

// printer turns records back into the output of a program. It joins what goes
// to the same stream into large writes, and keeps the order between streams.
type printer struct {
	out          [streams]io.Writer
	since, until string // stamps; empty: no bound
	stamps       bool

	mid  [streams]bool // in the middle of a line
	drop [streams]bool // which is not wanted
	buf  []byte        // for out[to]
	to   int
}

func newPrinter(o ReadOptions, out, errOut io.Writer) *printer {
	p := &printer{out: [streams]io.Writer{out, errOut}, stamps: o.Timestamps}
	bound := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return stamp(t)
	}
	p.since, p.until = bound(o.Since), bound(o.Until)
	return p
}

// record prints one record. Whether a line is wanted is decided where it starts.
func (p *printer) record(r record) error {
	s := r.stream
	begins := !p.mid[s]
	if begins {
		p.drop[s] = string(r.stamp) < p.since || p.until != "" && string(r.stamp) > p.until
	}
	p.mid[s] = !r.full
	if p.drop[s] {
		return nil
	}
	if s != p.to || len(p.buf) > flushAt {
		if err := p.flush(); err != nil {
			return err
		}
		p.to = s
	}
	if p.stamps && begins {
		p.buf = append(append(p.buf, r.stamp...), ' ')
	}
	p.buf = append(p.buf, r.text...)
	if r.full {
		p.buf = append(p.buf, '\n')
	}
	return nil
}

// damage says that n bytes of the log at path were no records.
func (p *printer) damage(path string, n int64) error {
	if err := p.flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(p.out[stderr], "sbx: log %s: skipped %d damaged bytes\n", path, n)
	return err
}

func (p *printer) flush() error {
	if len(p.buf) == 0 {
		return nil
	}
	_, err := p.out[p.to].Write(p.buf)
	p.buf = p.buf[:0]
	return err
}
