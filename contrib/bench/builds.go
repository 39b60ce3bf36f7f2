package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// buildSubjects are sbx and podman, whose build is buildah's, building the directory
// with those flags.
func (b *bench) buildSubjects(dir string, flags ...string) []subject {
	tail := append(append([]string{"-q", "-t", "built"}, flags...), dir)
	return []subject{b.sbx(append([]string{"build"}, tail...)...), b.podmanDo(append(append([]string{"build"}, b.peers.isolation...), tail...)...)}
}

// findIsolation finds out whether podman can run steps of a build as it runs
// containers. Else they are mere changes of root, in the host's network and cgroup.
func (b *bench) findIsolation() error {
	dir, err := b.buildDir("isolation", "FROM "+image+"\nRUN true\n")
	if err != nil {
		return err
	}
	if _, err := once(b.podmanDo("build", "-q", "-t", "built", dir)); err == nil {
		return nil
	}
	b.peers.isolation = []string{"--isolation", "chroot"}
	_, err = once(b.podmanDo("build", "-q", "--isolation", "chroot", "-t", "built", dir))
	return err
}

// buildDir makes a build context of a Dockerfile.
func (b *bench) buildDir(name, dockerfile string) (string, error) {
	dir := filepath.Join(b.Home, "build-"+name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	return dir, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644)
}

// builds measures builds of twenty steps, of a large context and of independent
// stages.
func (b *bench) builds() error {
	if err := b.findIsolation(); err != nil {
		return err
	}
	return errors.Join(b.buildSteps(), b.buildContexts(), b.buildStages())
}

// buildSteps is a RUN of next to nothing, twenty times, done and remembered.
func (b *bench) buildSteps() error {
	dir, err := b.buildDir("steps", "FROM "+image+"\n"+strings.Repeat("RUN true\n", 20))
	if err != nil {
		return err
	}
	n := b.n(10)
	fresh := b.buildSubjects(dir, "--no-cache")
	fresh[1].every = 3 // seconds each
	m, err := b.interleave(n, fresh...)
	if err != nil {
		return err
	}
	b.report.add(row{Name: "build of 20 RUN true, no cache, to podman", Unit: "x", Must: 0.2, Aim: 0.06, Value: m["sbx"] / m["podman"], Medians: m, Samples: n})
	n = b.n(20)
	if m, err = b.interleave(n, b.buildSubjects(dir)...); err != nil {
		return err
	}
	b.report.add(row{Name: "the same, all cached, to podman", Unit: "x", Must: 0.3, Aim: 0.1, Value: m["sbx"] / m["podman"], Medians: m, Samples: n})
	return nil
}

// buildContexts copies a large context that has not changed since the last build:
// one of a few large files, and one of many small ones.
func (b *bench) buildContexts() error {
	size, many := int64(1e9), 50_000
	if b.quick {
		size, many = 1e8, 5_000
	}
	const dockerfile = "FROM " + image + "\nCOPY data /data\n"
	big, err := b.buildDir("big", dockerfile)
	if err != nil {
		return err
	}
	small, err := b.buildDir("small", dockerfile)
	if err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(big, "data"), 0o755); err != nil {
		return err
	}
	for k := range 4 {
		if err := randomFile(filepath.Join(big, "data", strconv.Itoa(k)), size/4); err != nil {
			return err
		}
	}
	if err := manyFiles(filepath.Join(small, "data"), many); err != nil {
		return err
	}
	for _, c := range []struct{ name, dir string }{
		{fmt.Sprintf("%d MB", size/1e6), big}, {fmt.Sprintf("%d files", many), small},
	} {
		n := b.n(5)
		m, err := b.interleave(n, b.buildSubjects(c.dir)...)
		if err != nil {
			return err
		}
		b.report.add(row{Name: "build with COPY of " + c.name + " unchanged, to podman", Unit: "x", Must: 0.3, Value: m["sbx"] / m["podman"], Medians: m, Samples: n})
	}
	return errors.Join(os.RemoveAll(big), os.RemoveAll(small))
}

// manyFiles makes a tree of small files, a hundred in a directory.
func manyFiles(dir string, n int) error {
	for i := range n {
		at := filepath.Join(dir, strconv.Itoa(i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(at, 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(at, strconv.Itoa(i)), []byte(strconv.Itoa(i)+"\n"), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// buildStages builds two stages that do not need each other, and each alone.
func (b *bench) buildStages() error {
	// It waits instead of computing, for processors that are busy anyway.
	const work = "RUN sleep 1\n"
	both, err := b.buildDir("stages", "FROM "+image+" AS one\n"+work+"RUN touch /one\nFROM "+image+" AS two\n"+work+"RUN touch /two\n"+
		"FROM "+image+" AS all\nCOPY --from=one /one /\nCOPY --from=two /two /\n")
	if err != nil {
		return err
	}
	n := b.n(5)
	walls := map[string][]time.Duration{}
	for range n {
		for _, target := range []string{"one", "two", "all"} {
			took, err := once(b.sbx("build", "-q", "--no-cache", "--target", target, both))
			if err != nil {
				return err
			}
			walls[target] = append(walls[target], took)
		}
	}
	m := map[string]float64{}
	for name, all := range walls {
		m[name] = ms(median(all))
	}
	b.report.add(row{Name: "build of two independent stages, to their sum", Unit: "x", Must: 0.6, Value: m["all"] / (m["one"] + m["two"]), Medians: m, Samples: n})
	return nil
}
