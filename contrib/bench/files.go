package main

import (
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// copies measures cp of one large file into a sandbox and out of it, sbx and podman by
// turns.
func (b *bench) copies() error {
	size, word := int64(1e9), "1 GB"
	if b.quick {
		size, word = 1e8, "100 MB"
	}
	big, out := filepath.Join(b.Home, "big"), filepath.Join(b.Home, "out")
	if err := randomFile(big, size); err != nil {
		return err
	}
	type side struct {
		name, box string
		do        func(...string) subject
	}
	// Not started, as podman's may be unable to here; and of ours one that runs.
	sides := []side{{"sbx", "created", b.sbx}, {"podman", "created", b.podmanDo}, {"sbx, running", "running", b.sbx}}
	n := b.n(7)
	in, back := map[string][]time.Duration{}, map[string][]time.Duration{}
	for round := range n {
		for k := range sides {
			s := sides[(k+round)%len(sides)]
			// A new one each time: to free the blocks of an old file takes time too.
			start := []string{"create", "--name", s.box, "--network", "none", image, "sleep", "100000"}
			if s.box == "running" {
				start = append([]string{"run", "-d"}, start[1:]...)
			}
			if _, err := once(s.do(start...)); err != nil {
				return err
			}
			for _, way := range []struct {
				all      map[string][]time.Duration
				from, to string
			}{{in, big, s.box + ":/big"}, {back, s.box + ":/big", out}} {
				syscall.Sync() // what the one before has left to write is not this one's
				took, cpu, err := b.spent(s.do("cp", way.from, way.to))
				if err != nil {
					return err
				}
				way.all[s.name] = append(way.all[s.name], took)
				way.all[s.name+" cpu"] = append(way.all[s.name+" cpu"], cpu)
			}
			if err := os.Remove(out); err != nil {
				return err
			}
			if _, err := once(s.do("rm", "-f", s.box)); err != nil {
				return err
			}
		}
		if time.Now().After(b.deadline) {
			return errors.New("out of time")
		}
	}
	for _, r := range []struct {
		name string
		all  map[string][]time.Duration
	}{{"cp of " + word + " in, to podman", in}, {"cp of " + word + " out, to podman", back}} {
		m := map[string]float64{}
		for name, all := range r.all {
			m[name] = ms(median(all))
		}
		b.report.add(row{Name: r.name, Unit: "x", Must: 0.7, Value: m["sbx"] / m["podman"], Medians: m, Samples: n})
	}
	return os.Remove(big)
}

func randomFile(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, rand.Reader, size)
	return errors.Join(err, f.Close())
}
