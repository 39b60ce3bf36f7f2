package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// commits measures commit of one large file, and diff of many small ones, sbx and podman
// by turns. The files come by cp, as podman may be unable to run anything here.
func (b *bench) commits() error {
	size, many := int64(1e9), 20_000
	if b.quick {
		size, many = 1e8, 2_000
	}
	big, small := filepath.Join(b.Home, "big"), filepath.Join(b.Home, "small")
	if err := randomFile(big, size); err != nil {
		return err
	}
	if err := smallFiles(small, many); err != nil {
		return err
	}
	ours, theirs := b.sbx, b.podmanDo
	for _, do := range []func(...string) subject{ours, theirs} {
		for _, args := range [][]string{
			{"create", "--name", "many", "--network", "none", image, "true"}, {"cp", small, "many:/small"},
		} {
			if _, err := once(do(args...)); err != nil {
				return err
			}
		}
	}
	walls := map[string][]time.Duration{}
	n := b.n(5)
	for round := range n {
		for k := range 2 {
			do := []func(...string) subject{ours, theirs}[(k+round)%2]
			took, err := commitOnce(do, big)
			if err != nil {
				return err
			}
			name := do().name
			walls[name] = append(walls[name], took)
		}
		if time.Now().After(b.deadline) {
			return errors.New("out of time")
		}
	}
	m := map[string]float64{}
	for name, all := range walls {
		m[name] = ms(median(all))
	}
	b.report.add(row{Name: "commit of a 1 GB change, to podman", Unit: "x", Must: 0.4, Aim: 0.15, Value: m["sbx"] / m["podman"], Medians: m, Samples: n})
	n = b.n(20)
	m, err := b.interleave(n, ours("diff", "many"), theirs("diff", "many"))
	if err != nil {
		return err
	}
	b.report.add(row{Name: "diff of 20,000 new files, to podman", Unit: "x", Must: 0.3, Value: m["sbx"] / m["podman"], Medians: m, Samples: n})
	for _, do := range []func(...string) subject{ours, theirs} {
		if _, err := once(do("rm", "-f", "many")); err != nil {
			return err
		}
	}
	return errors.Join(os.Remove(big), os.RemoveAll(small))
}

// commitOnce measures one commit, of a sandbox that is made for it: podman is much
// faster when it has the layer already.
func commitOnce(do func(...string) subject, big string) (time.Duration, error) {
	for _, args := range [][]string{{"create", "--name", "changed", "--network", "none", image, "true"}, {"cp", big, "changed:/big"}} {
		if _, err := once(do(args...)); err != nil {
			return 0, err
		}
	}
	syscall.Sync() // what the one before has left to write is not this one's
	took, err := once(do("commit", "-q", "changed", "committed"))
	if err != nil {
		return 0, err
	}
	for _, args := range [][]string{{"rm", "-f", "changed"}, {"rmi", "-f", "committed"}} {
		if _, err := once(do(args...)); err != nil {
			return 0, err
		}
	}
	return took, nil
}

func smallFiles(dir string, n int) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for i := range n {
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), []byte("x\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}
