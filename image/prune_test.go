package image

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// du is what du(1) says of paths: the witness.
func du(t *testing.T, paths ...string) int64 {
	t.Helper()
	out, err := exec.Command("du", append([]string{"-sc", "--block-size=1"}, paths...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	n, err := strconv.ParseInt(strings.Fields(lines[len(lines)-1])[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// layersOnDisk is what du says of all layers and their records.
func layersOnDisk(t *testing.T, s *Store) int64 {
	t.Helper()
	var paths []string
	for _, pattern := range []string{"overlay/*/link", "overlay/l/*", "overlay-layers/*.tar-split.gz"} {
		list, err := filepath.Glob(filepath.Join(s.graphRoot, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range list {
			if filepath.Base(path) == "link" {
				path = filepath.Dir(path) // the directory of a layer, and nothing else
			}
			paths = append(paths, path)
		}
	}
	if len(paths) == 0 {
		return 0
	}
	return du(t, paths...)
}

// Shared layers count once.
func TestUsage(t *testing.T) {
	s := open(t)
	base := layer(t, "base", 1<<20)
	one := compose(t, s, document{}, []string{"one"}, base, layer(t, "a", 300_000))
	two := compose(t, s, document{}, []string{"two"}, base, layer(t, "b", 100_000))
	u, err := s.Usage()
	if err != nil {
		t.Fatal(err)
	}
	if want := layersOnDisk(t, s); u.Total != want {
		t.Errorf("%d bytes, du says %d", u.Total, want)
	}
	sum := int64(0)
	for _, img := range u.Images {
		if img.Shared < 1<<20 || img.Shared > 1<<20+100_000 || img.Disk-img.Shared < 100_000 {
			t.Errorf("%v: %d, shared %d", img.Names, img.Disk, img.Shared)
		}
		sum += img.Disk - img.Shared
	}
	if sum+u.Images[0].Shared != u.Total {
		t.Errorf("unique %d and shared %d are not %d", sum, u.Images[0].Shared, u.Total)
	}
	both := map[string]bool{one.ID: true, two.ID: true}
	if got := u.Of(both); got != u.Total {
		t.Errorf("both: %d of %d", got, u.Total)
	}
	if got := u.Of(map[string]bool{one.ID: true}); got != s.diskOf(t, one) {
		t.Errorf("one: %d, want %d", got, s.diskOf(t, one))
	}
	if got := u.Of(nil); got != 0 {
		t.Errorf("none: %d", got)
	}
	if steps := one.Steps(); len(steps) != 4 || steps[0].Size != 0 || steps[1].CreatedBy != "step 1" || steps[1].Size < 300_000 || steps[3].Size < 1<<20 {
		t.Errorf("%+v", steps)
	}
}

func (s *Store) diskOf(t *testing.T, img Image) int64 {
	t.Helper()
	var sum int64
	for _, id := range img.LayerIDs {
		n, err := s.layerDisk(id)
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return sum
}

func TestPrune(t *testing.T) {
	made := func(days int, labels map[string]string) document {
		return document{Created: time.Now().AddDate(0, 0, -days), Config: Config{Labels: labels}}
	}
	for title, c := range map[string]struct {
		o    PruneOptions
		gone string
	}{
		"dangling":         {PruneOptions{}, "old young"},
		"all":              {PruneOptions{All: true}, "old tagged young"},
		"until":            {PruneOptions{All: true, Until: time.Now().AddDate(0, 0, -5)}, "old tagged"},
		"label":            {PruneOptions{All: true, Labels: []string{"keep"}}, "tagged"},
		"label with value": {PruneOptions{All: true, Labels: []string{"keep=no"}}, ""},
		"not label":        {PruneOptions{All: true, Not: []string{"keep=yes"}}, "old young"},
	} {
		t.Run(title, func(t *testing.T) {
			s := open(t)
			images := map[string]Image{
				"old":    compose(t, s, made(10, nil), nil, layer(t, "base", 5000), layer(t, "old", 50_000)),
				"young":  compose(t, s, made(1, nil), nil, layer(t, "young", 1)),
				"tagged": compose(t, s, made(10, map[string]string{"keep": "yes"}), []string{"tagged"}, layer(t, "base", 5000)),
				"used":   compose(t, s, made(10, nil), nil, layer(t, "used", 1)),
			}
			before := layersOnDisk(t, s)
			c.o.InUse = users(map[string]string{images["used"].ID: "old"})
			report, err := s.Prune(c.o)
			if err != nil {
				t.Fatal(err)
			}
			for name, img := range images {
				gone := strings.Contains(" "+c.gone+" ", " "+name+" ")
				if s.Has(img.ID) == gone {
					t.Errorf("%s: gone is %v", name, !gone)
				}
			}
			if freed := before - layersOnDisk(t, s); report.Reclaimed != freed {
				t.Errorf("reclaimed %d, du says %d", report.Reclaimed, freed)
			}
			if (len(report.Removed) > 0) != (c.gone != "") {
				t.Errorf("%v", report.Removed)
			}
		})
	}
}
