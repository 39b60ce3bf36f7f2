package logfile

import (
	"strconv"
	"time"
)

// Streams of a program, as indices.
const (
	stdout = iota
	stderr
	streams
)

const (
	stampLen = len("2026-11-22T07:00:00.123456789Z")
	flagAt   = stampLen + len(" stdout ")
	headLen  = flagAt + len("F ")

	// maxText is the longest text of one record, as in Docker and podman.
	maxText = 16 << 10

	// maxRecord is the longest record, its newline included.
	maxRecord = headLen + maxText + 1

	full    = 'F'
	partial = 'P'
)

const stampLayout = "2006-01-02T15:04:05.000000000Z"

// stamp is t as records have it.
func stamp(t time.Time) string { return t.UTC().Format(stampLayout) }

// record is one parsed line of a log; its slices belong to the reader's buffer.
type record struct {
	stream int
	full   bool
	stamp  []byte
	text   []byte
}

// parse takes a line without its newline apart. Only the first headLen bytes
// decide whether it is a record.
func parse(line []byte) (record, bool) {
	if len(line) < headLen || !isStamp(line[:stampLen]) {
		return record{}, false
	}
	r := record{stamp: line[:stampLen], text: line[headLen:], full: line[flagAt] == full}
	switch string(line[stampLen:flagAt]) {
	case " stdout ":
		r.stream = stdout
	case " stderr ":
		r.stream = stderr
	default:
		return record{}, false
	}
	return r, (r.full || line[flagAt] == partial) && line[headLen-1] == ' '
}

func isStamp(s []byte) bool {
	const shape = "0000-00-00T00:00:00.000000000Z"
	for i := range shape {
		if shape[i] == '0' {
			if s[i]-'0' > 9 {
				return false
			}
		} else if s[i] != shape[i] {
			return false
		}
	}
	return true
}

// clock writes timestamps; the part down to the second is kept, because most
// records share it with the one before.
type clock struct {
	second int64
	text   [stampLen]byte
}

func (c *clock) set(t time.Time) *[stampLen]byte {
	if s := t.Unix(); s != c.second || c.text[0] == 0 {
		c.second = s
		t.UTC().AppendFormat(c.text[:0], stampLayout)
	}
	ns := t.Nanosecond()
	for i := stampLen - 2; i > stampLen-2-9; i-- {
		c.text[i] = byte('0' + ns%10)
		ns /= 10
	}
	return &c.text
}

// name is the file name of the i-th file of a log; 0 is the current one.
func name(i int) string {
	if i == 0 {
		return "log"
	}
	return "log." + strconv.Itoa(i)
}
