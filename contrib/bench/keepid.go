package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// keepIDs measures the first start of an image with --userns keep-id beside later ones,
// and beside the start of an image without keep-id. Each round has an image of its own,
// which nobody has read yet.
func (b *bench) keepIDs() error {
	n := b.n(40)
	start := func(image string, flags ...string) subject {
		return b.sbx(append(append([]string{"run", "--rm", "--network", "none"}, flags...), image, "true")...)
	}
	all := map[string][]time.Duration{}
	for round := range n {
		fresh := "keepid-" + strconv.Itoa(round)
		if err := b.another(fresh); err != nil {
			return err
		}
		kept := start(fresh, "--userns", "keep-id")
		if round == 0 { // what is made in advance is made of the kind that was asked for before
			if _, err := once(start(image, "--userns", "keep-id")); err != nil {
				return err
			}
		}
		for _, s := range []struct {
			name string
			subject
		}{{"first", kept}, {"second", kept}, {"later", kept}, {"private", start(image)}} {
			time.Sleep(100 * time.Millisecond) // nobody types faster; the next one is made ready meanwhile
			took, err := once(s.subject)
			if err != nil {
				return err
			}
			all[s.name] = append(all[s.name], took)
		}
		if time.Now().After(b.deadline) {
			return errors.New("out of time")
		}
	}
	m := medians(all)
	b.report.add(row{Name: "run --rm --userns keep-id: first start more than later ones", Unit: "ms", Must: 15, Aim: 5,
		Value: m["first"] - m["later"], Medians: m, Samples: n})
	return nil
}

// another imports the root file system once more, with a file that makes it another
// image.
func (b *bench) another(name string) error {
	file, archive := filepath.Join(b.Home, name), filepath.Join(b.Home, name+".tar")
	defer os.Remove(archive)
	if err := os.WriteFile(file, []byte(name), 0o600); err != nil {
		return err
	}
	defer os.Remove(file)
	if out, err := exec.Command("tar", "-cf", archive, "-C", b.root, ".", "-C", b.Home, name).CombinedOutput(); err != nil {
		return fmt.Errorf("pack %s: %w: %s", archive, err, out)
	}
	_, err := once(b.sbx("import", archive, name))
	return err
}
