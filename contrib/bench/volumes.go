package main

import (
	"os"
	"path/filepath"
	"strconv"
)

// binds measures what ten binds, and ten volumes that are there, add to a start.
func (b *bench) binds() error {
	n := b.n(150)
	var flags, volumes []string
	for i := range 10 {
		dir := filepath.Join(b.Home, "bound", strconv.Itoa(i))
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		target := ":/mnt/" + strconv.Itoa(i)
		flags = append(flags, "-v", dir+target)
		volumes = append(volumes, "-v", "vol"+strconv.Itoa(i)+target)
	}
	start := func(name string, flags []string) subject {
		s := b.sbx(append(append([]string{"run", "--rm", "--network", "none"}, flags...), image, "true")...)
		s.name = name
		return s
	}
	m, err := b.interleave(n, start("none", nil), start("binds", flags), start("volumes", volumes))
	if err != nil {
		return err
	}
	for _, what := range []string{"binds", "volumes"} {
		b.report.add(row{Name: "ten " + what + " add to run --rm", Unit: "ms", Must: 1, Aim: 0.5, Value: m[what] - m["none"], Medians: m, Samples: n})
	}
	_, err = once(b.sbx(append([]string{"volume", "rm"}, volumeNames(10)...)...))
	return err
}

func volumeNames(n int) []string {
	var names []string
	for i := range n {
		names = append(names, "vol"+strconv.Itoa(i))
	}
	return names
}
