package main

import (
	"archive/tar"
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// untars measures how long tar takes for a source tree in a sandbox's root, beside the
// same tar, by the same user and to the same file system, on the host, in a volume, and
// in an overlay that nobody but the kernel has a part in.
//
// Owners stay as they come (-o): root of a sandbox may give files away, and would, the
// host's user may not, which is quicker.
//
// Nothing is removed before the end: ext4 looks for an inode that was not in use lately
// one by one (recently_deleted in fs/ext4/ialloc.c), which takes ten times as long as all
// that is measured here.
func (b *bench) untars() (err error) {
	dirs, each := 4000, 20
	if b.quick {
		dirs = 400
	}
	dir := filepath.Join(b.Data, "untar")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	archive := filepath.Join(dir, "tree.tar")
	if err := sourceTree(archive, dirs, each); err != nil {
		return err
	}
	if _, err := once(b.sbx("run", "-d", "--name", "untar", "--network", "none", "-v", archive+":/tree.tar:ro", "-v", "untar:/volume", image, "sleep", "100000")); err != nil {
		return err
	}
	plain, end, err := b.plainOverlay(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end(), os.RemoveAll(dir)) }()
	n := b.n(3)
	busybox := filepath.Join(b.root, "bin", "busybox")
	all := map[string][]time.Duration{}
	for round := range n {
		at := strconv.Itoa(round)
		host := subject{args: []string{busybox, "tar", "-C", filepath.Join(dir, at), "-oxf", archive}, env: b.Env(), dir: dir}
		for _, s := range []subject{
			{args: []string{"mkdir", filepath.Join(dir, at)}}, b.sbx("exec", "untar", "mkdir", "/"+at, "/volume/"+at), plain("mkdir", "/mnt/"+at),
		} {
			if _, err := once(s); err != nil {
				return err
			}
		}
		sides := []struct {
			name string
			subject
		}{
			{"host", host}, {"sbx", b.sbx("exec", "untar", "tar", "-C", "/"+at, "-oxf", "/tree.tar")},
			{"sbx, volume", b.sbx("exec", "untar", "tar", "-C", "/volume/"+at, "-oxf", "/tree.tar")},
			{"overlay", plain(busybox, "tar", "-C", "/mnt/"+at, "-oxf", archive)},
		}
		for k := range sides {
			s := sides[(k+round)%len(sides)]
			syscall.Sync() // what the one before has left to write is not this one's
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
	what := fmt.Sprintf("unpack %d files: ", dirs*each)
	b.report.add(row{Name: what + "in a sandbox, to the kernel's overlay alone", Unit: "x", Must: 0.95, Least: true, Value: m["overlay"] / m["sbx"], Medians: m, Samples: n})
	b.report.add(row{Name: what + "in a volume, to the host", Unit: "x", Must: 0.95, Least: true, Value: m["host"] / m["sbx, volume"], Samples: n})
	// What an overlay costs is the kernel's: there is nothing in its place.
	b.report.add(row{Name: what + "in a sandbox, to the host", Unit: "x", Aim: 0.95, Least: true, Value: m["host"] / m["sbx"], Samples: n})
	for _, args := range [][]string{{"rm", "-f", "untar"}, {"volume", "rm", "untar"}} {
		if _, err := once(b.sbx(args...)); err != nil {
			return err
		}
	}
	return nil
}

// sourceTree makes an archive of so many directories with so many files of up to 8 KB
// in each.
func sourceTree(path string, dirs, each int) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriterSize(f, 1<<20)
	w := tar.NewWriter(out)
	noise := make([]byte, 1<<20)
	if _, err := rand.Read(noise); err != nil {
		return err
	}
	for d := range dirs {
		dir := fmt.Sprintf("src/%02d/%02d", d/100, d%100)
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}); err != nil {
			return err
		}
		for i := range each {
			at := (d*each + i) * 7919
			text := noise[at%(len(noise)-8192):][:at%8192]
			if err := w.WriteHeader(&tar.Header{Name: fmt.Sprintf("%s/%d.c", dir, i), Mode: 0o644, Size: int64(len(text))}); err != nil {
				return err
			}
			if _, err := w.Write(text); err != nil {
				return err
			}
		}
	}
	return errors.Join(w.Close(), out.Flush())
}

// plainOverlay mounts an overlay of the image over /mnt, in namespaces that unshare(1)
// makes and in which commands can be run, until end is called.
func (b *bench) plainOverlay(dir string) (in func(args ...string) subject, end func() error, err error) {
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	if err := errors.Join(os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755)); err != nil {
		return nil, nil, err
	}
	c := exec.Command("unshare", "--user", "--map-root-user", "--mount", "sh", "-ec",
		"mount -t overlay -o userxattr,lowerdir="+b.root+",upperdir="+upper+",workdir="+work+" overlay /mnt; echo ready; exec sleep 600")
	c.Env, c.Dir = b.Env(), dir
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := c.Start(); err != nil {
		return nil, nil, err
	}
	end = func() error {
		err := c.Process.Kill()
		_ = c.Wait() // it was killed
		// The kernel's own directory in there has mode 0.
		return errors.Join(err, os.Chmod(filepath.Join(work, "work"), 0o700))
	}
	word := make([]byte, 8)
	if n, _ := out.Read(word); string(word[:n]) != "ready\n" {
		return nil, nil, errors.Join(errors.New("unshare(1) cannot mount an overlay"), c.Process.Kill(), c.Wait())
	}
	pid := strconv.Itoa(c.Process.Pid)
	return func(args ...string) subject {
		return subject{args: append([]string{"nsenter", "--preserve-credentials", "--user", "--mount", "--target", pid}, args...), env: b.Env(), dir: dir}
	}, end, nil
}
