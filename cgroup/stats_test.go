package cgroup

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"sbx/api"
)

func put(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStatsOfFiles(t *testing.T) {
	g := Group{Path: t.TempDir()}
	put(t, g.Path, map[string]string{
		"cpu.stat":       "usage_usec 3000\nuser_usec 2000\nsystem_usec 1000\nnr_periods 4\nthrottled_usec 7\n",
		"memory.current": "4096\n", "memory.max": "max\n", "memory.stat": "anon 100\ninactive_file 200\n",
		"io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=9 dios=9\n8:16 rbytes=5 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n253:0 \n",
	})
	s, err := g.Stats()
	if err != nil {
		t.Fatal(err)
	}
	s.Time = time.Time{}
	const us = time.Microsecond
	want := Stats{CPU: CPUStats{3000 * us, 2000 * us, 1000 * us, 7 * us}, Memory: &MemoryStats{Usage: 4096, Cache: 200},
		IO: &IOStats{ReadBytes: 15, WriteBytes: 20, Reads: 2, Writes: 2}}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v, want %+v", s, want)
	}
	put(t, g.Path, map[string]string{"memory.swap.current": "1", "memory.peak": "5000", "memory.max": "8192", "pids.current": "3", "pids.max": "9\n"})
	if s, err = g.Stats(); err != nil {
		t.Fatal(err)
	}
	if want := (MemoryStats{Usage: 4096, Cache: 200, Limit: 8192, Swap: 1, Peak: 5000}); *s.Memory != want || *s.Pids != (PidsStats{3, 9}) {
		t.Errorf("got %+v, %+v", s.Memory, s.Pids)
	}
}

func TestHomeIsRecorded(t *testing.T) {
	run := t.TempDir()
	h, err := ReadHome(run)
	if err != nil || h.Exists() || h.Why == "" {
		t.Errorf("before: %+v, %v", h, err)
	}
	want := Home{Driver: Systemd, Version: "2", Path: "/a", Unit: "u.scope", Controllers: []string{"cpu"}, Missing: map[string]Lack{"io": {"why", api.Remedy{Text: "fix"}}}, Guarded: true}
	if err := want.Record(run); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadHome(run); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	put(t, run, map[string]string{"cgroup.json": "{"})
	if h, err := ReadHome(run); err == nil || h.Exists() {
		t.Errorf("damaged: %+v, %v", h, err)
	}
	if left, _ := filepath.Glob(run + "/.*"); len(left) > 0 {
		t.Error(left)
	}
}
