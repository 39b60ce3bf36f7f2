package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"sbx/tests/instance"
)

// image is what the sandboxes are made of.
const image = "bench"

type bench struct {
	*instance.Instance
	report   report
	quick    bool
	outside  string // address of an iperf3 server, or nothing
	deadline time.Time
	rootfs   string // the archive of the image that is run
	root     string // the image, unpacked, for bwrap and crun
	peers    peers
	found    []side  // once they are asked for
	store    *remote // what pull and push rows need, once they are asked for
	closers  []func() error
}

// subject is a command whose run time is measured.
type subject struct {
	name  string
	args  []string
	env   []string
	dir   string
	every int // measured every so many rounds: for the slow ones
}

func (b *bench) prepare(rootfs string) error {
	b.report = newReport()
	if rootfs == "" {
		return errors.New("--rootfs or SBX_TEST_BUSYBOX has to name an archive: contrib/testroots makes one")
	}
	b.rootfs, b.root = rootfs, filepath.Join(b.Home, "root")
	if err := os.Mkdir(b.root, 0o755); err != nil {
		return err
	}
	if out, err := exec.Command("tar", "-C", b.root, "-xf", rootfs).CombinedOutput(); err != nil {
		return fmt.Errorf("unpack %s: %w: %s", rootfs, err, out)
	}
	if _, err := once(b.bwrap()); err != nil {
		return err
	}
	if _, err := once(b.sbx("import", rootfs, image)); err != nil {
		return err
	}
	return b.findPeers(rootfs)
}

// n is the number of samples, cut down by --quick.
func (b *bench) n(full int) int {
	if b.quick {
		return max(3, full/10)
	}
	return full
}

func (b *bench) sbx(args ...string) subject {
	return subject{name: "sbx", args: append([]string{b.Sbx()}, args...), env: b.Env(), dir: b.Home}
}

func (b *bench) bwrap() subject {
	return subject{name: "bwrap", env: b.Env(), dir: b.Home,
		args: []string{"bwrap", "--unshare-all", "--ro-bind", b.root, "/", "--proc", "/proc", "--dev", "/dev", "true"}}
}

// once runs the subject and says how long it took, from fork to exit status.
func once(s subject) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, s.args[0], s.args[1:]...)
	c.Env, c.Dir = s.env, s.dir
	// Standard files stay nil: /dev/null, as for any measurement of a start.
	start := time.Now()
	err := c.Run()
	took := time.Since(start)
	if err == nil {
		return took, nil
	}
	again := exec.CommandContext(ctx, s.args[0], s.args[1:]...)
	again.Env, again.Dir, again.WaitDelay = s.env, s.dir, time.Second
	text, second := again.CombinedOutput()
	return took, fmt.Errorf("%s: %w; once more: %v: %s", strings.Join(s.args, " "), err, second, bytes.TrimSpace(text))
}

// interleave measures the subjects in turn, n times, each round starting with
// another one, and gives the median of each in milliseconds.
func (b *bench) interleave(n int, subjects ...subject) (map[string]float64, error) {
	for _, s := range subjects {
		if _, err := once(s); err != nil { // warm the caches
			return nil, err
		}
	}
	times := map[string][]time.Duration{}
	for round := range n {
		for k := range subjects {
			s := subjects[(k+round)%len(subjects)]
			if s.every > 1 && round%s.every != 0 {
				continue
			}
			took, err := once(s)
			if err != nil {
				return nil, err
			}
			times[s.name] = append(times[s.name], took)
		}
		if time.Now().After(b.deadline) {
			return nil, errors.New("out of time")
		}
	}
	medians := map[string]float64{}
	for name, all := range times {
		medians[name] = ms(median(all))
	}
	return medians, nil
}

func median(all []time.Duration) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// medians are those of each subject, in milliseconds.
func medians(all map[string][]time.Duration) map[string]float64 {
	m := map[string]float64{}
	for name, times := range all {
		m[name] = ms(median(times))
	}
	return m
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
