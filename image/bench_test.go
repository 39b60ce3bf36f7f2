package image

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// BenchmarkLayers unpacks the layers in the files of SBX_BENCH_LAYERS, all at once,
// into a new store and records the image, as a pull does but for the network.
func BenchmarkLayers(b *testing.B) {
	files := strings.Fields(os.Getenv("SBX_BENCH_LAYERS"))
	if len(files) == 0 {
		b.Skip("SBX_BENCH_LAYERS names no files")
	}
	for b.Loop() {
		s := open(b)
		start, cpu := time.Now(), cpuTime()
		img := stageAll(b, s, files)
		b.ReportMetric(time.Since(start).Seconds(), "wall-s")
		b.ReportMetric((cpuTime() - cpu).Seconds(), "cpu-s")
		b.SetBytes(img.Size)
		b.StopTimer()
		if _, err := s.store.DeleteImage(img.ID, true); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	var kb float64
	fmt.Sscan(peak, &kb)
	b.ReportMetric(kb/1024, "peak-MB")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// stageAll unpacks files side by side and records an image of them.
func stageAll(t testing.TB, s *Store, files []string) Image {
	t.Helper()
	layers := make([]*Staged, len(files))
	fails := make(chan error)
	for i, path := range files {
		go func() {
			f, err := os.Open(path)
			if err != nil {
				fails <- err
				return
			}
			defer f.Close()
			sum := sha256.New()
			layers[i], err = s.Stage(context.Background(), io.TeeReader(f, sum), StageOptions{Source: path})
			fails <- err
		}()
	}
	for range files {
		if err := <-fails; err != nil {
			t.Fatal(err)
		}
	}
	start := time.Now()
	defer func() { t.Logf("recorded in %v", time.Since(start)) }()
	return commit(t, s, "bench", layers...)
}

// commit records an image of staged layers.
func commit(t testing.TB, s *Store, name string, layers ...*Staged) Image {
	t.Helper()
	img, err := s.Commit(context.Background(), newImage(t, name, layers...))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// newImage is an image to be committed. Layers that are nil have no digest yet.
func newImage(t testing.TB, name string, layers ...*Staged) New {
	t.Helper()
	n, err := describe(layers[0], Config{}, ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	n.DiffIDs, n.Layers = nil, layers
	var ids []string
	for _, l := range layers {
		n.DiffIDs = append(n.DiffIDs, l.DiffID)
		ids = append(ids, `"`+l.DiffID.String()+`"`)
	}
	n.Config = []byte(`{"rootfs":{"type":"layers","diff_ids":[` + strings.Join(ids, ",") + `]},"config":{"Labels":{"n":"` + name + `"}}}`)
	n.Manifest = []byte(`{"schemaVersion":2,"config":{"digest":"` + digest.FromBytes(n.Config).String() + `"}}`)
	n.Names = []string{"localhost/" + name + ":latest"}
	return n
}
