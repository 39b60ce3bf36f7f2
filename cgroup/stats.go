package cgroup

import (
	"bytes"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Stats is what a group has used since it was made, and uses now. A part is nil
// where the group does not have its controller.
type Stats struct {
	Time   time.Time // when it was read
	CPU    CPUStats  // every group has it
	Memory *MemoryStats
	Pids   *PidsStats
	IO     *IOStats
}

// CPUStats is processor time.
type CPUStats struct {
	Usage, User, System time.Duration
	Throttled           time.Duration // waited for the next period, cpu.max
}

// MemoryStats are bytes.
type MemoryStats struct {
	Usage uint64
	Cache uint64 // part of Usage that is files not used lately; Docker shows Usage without it
	Limit uint64 // 0: none
	Swap  uint64
	Peak  uint64 // highest Usage; 0 before Linux 5.19
}

// PidsStats are processes and threads.
type PidsStats struct {
	Current uint64
	Limit   uint64 // 0: none
}

// IOStats is the sum over all block devices.
type IOStats struct {
	ReadBytes, WriteBytes uint64
	Reads, Writes         uint64 // operations
}

// Stats reads them.
func (g Group) Stats() (Stats, error) {
	s := Stats{Time: time.Now()}
	text, err := read(g.Path, "cpu.stat")
	if err != nil {
		return s, g.explain("read", "cpu.stat", err)
	}
	s.CPU = parseCPU(text)
	for _, part := range []struct {
		file string
		read func(*Stats) error
	}{{"memory.current", g.memory}, {"pids.current", g.pids}, {"io.stat", g.io}} {
		if err := part.read(&s); err != nil && (err != unix.ENOENT || !g.there()) {
			return s, g.explain("read", part.file, err)
		}
	}
	return s, nil
}

func parseCPU(text []byte) CPUStats {
	var c CPUStats
	eachNumber(text, func(key string, n uint64) {
		d := time.Duration(n) * time.Microsecond
		switch key {
		case "usage_usec":
			c.Usage = d
		case "user_usec":
			c.User = d
		case "system_usec":
			c.System = d
		case "throttled_usec":
			c.Throttled = d
		}
	})
	return c
}

// eachNumber goes through lines "key number".
func eachNumber(text []byte, see func(key string, n uint64)) {
	for line := range bytes.Lines(text) {
		key, rest, _ := strings.Cut(strings.TrimSpace(string(line)), " ")
		if n, err := strconv.ParseUint(rest, 10, 64); err == nil {
			see(key, n)
		}
	}
}

func (g Group) memory(s *Stats) error {
	var m MemoryStats
	var err error
	if m.Usage, err = g.number("memory.current"); err != nil {
		return err
	}
	if m.Limit, err = g.number("memory.max"); err != nil {
		return err
	}
	// The kernel may be without these.
	if m.Swap, err = g.number("memory.swap.current"); err != nil && err != unix.ENOENT {
		return err
	}
	if m.Peak, err = g.number("memory.peak"); err != nil && err != unix.ENOENT {
		return err
	}
	if m.Cache, err = value(g.Path, "memory.stat", "inactive_file"); err != nil {
		return err
	}
	s.Memory = &m
	return nil
}

func (g Group) pids(s *Stats) error {
	var p PidsStats
	var err error
	if p.Current, err = g.number("pids.current"); err != nil {
		return err
	}
	if p.Limit, err = g.number("pids.max"); err != nil {
		return err
	}
	s.Pids = &p
	return nil
}

// number reads a file with one number; "max" is 0.
func (g Group) number(file string) (uint64, error) {
	text, err := read(g.Path, file)
	if err != nil {
		return 0, err
	}
	word := strings.TrimSpace(string(text))
	if word == "max" {
		return 0, nil
	}
	return strconv.ParseUint(word, 10, 64)
}

func (g Group) io(s *Stats) error {
	text, err := read(g.Path, "io.stat")
	if err != nil {
		return err
	}
	s.IO = parseIO(text)
	return nil
}

// parseIO reads lines "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0".
func parseIO(text []byte) *IOStats {
	var sum IOStats
	fields := map[string]*uint64{"rbytes": &sum.ReadBytes, "wbytes": &sum.WriteBytes, "rios": &sum.Reads, "wios": &sum.Writes}
	for word := range bytes.FieldsSeq(text) {
		key, digits, _ := strings.Cut(string(word), "=")
		if field := fields[key]; field != nil {
			if n, err := strconv.ParseUint(digits, 10, 64); err == nil {
				*field += n
			}
		}
	}
	return &sum
}
