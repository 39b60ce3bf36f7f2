package tests

import (
	"archive/tar"
	"bufio"
	"bytes"
	"embed"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/tools/txtar"

	"sbx/tests/registry"
)

// The Dockerfile cases are data: buildcases/GROUP.txtar, whose files are named
// CASE/FILE. What begins with "=" is not of the context:
//
//	CASE/=case      lines "key: value", see apply
//	CASE/=tree      what the image has beyond its base: mode and owner, path, content
//	CASE/=config    its configuration beyond that of the base
//	CASE/=history   the instruction of each entry beyond the base's, "-" before one without a layer
//	CASE/=output    words of each line are among the output
//	CASE/=warning   likewise, of sbx only
//	CASE/=error     the build fails, and says the words of each line (sbx's words: other builders only have to fail)
//	CASE/=outside/F a file beside the context
//
// What they want is what BuildKit documents; a section that is "?" is filled in by
// -write-cases.
//
//go:embed buildcases/*.txtar
var buildCaseFiles embed.FS

// buildCase is one of them.
type buildCase struct {
	group, name string
	files       map[string][]byte // of the context
	outside     map[string][]byte
	want        map[string]string // section to text, without "="
	directives  [][2]string
	text        string // what its result depends on
}

// remarks of a case have no influence on what is built.
var remarks = regexp.MustCompile(`(?m)^(differs|why): .*\n`)

func buildCases(t testing.TB) []*buildCase {
	t.Helper()
	var all []*buildCase
	groups := must[[]fs.DirEntry](t)(buildCaseFiles.ReadDir("buildcases"))
	for _, group := range groups {
		raw := must[[]byte](t)(buildCaseFiles.ReadFile("buildcases/" + group.Name()))
		seen := map[string]*buildCase{}
		for _, f := range txtar.Parse(raw).Files {
			name, rest, ok := strings.Cut(f.Name, "/")
			if !ok {
				t.Fatalf("%s: %q is not CASE/FILE", group.Name(), f.Name)
			}
			c := seen[name]
			if c == nil {
				c = &buildCase{group: strings.TrimSuffix(group.Name(), ".txtar"), name: name,
					files: map[string][]byte{}, outside: map[string][]byte{}, want: map[string]string{}}
				seen[name] = c
				all = append(all, c)
			}
			if !slices.Contains([]string{"=tree", "=config", "=history", "=output", "=warning", "=error"}, rest) {
				c.text += "-- " + rest + " --\n" + remarks.ReplaceAllString(string(f.Data), "")
			}
			if err := c.add(rest, f.Data); err != nil {
				t.Fatalf("%s: %s: %v", group.Name(), name, err)
			}
		}
	}
	return all
}

func (c *buildCase) add(name string, data []byte) error {
	section, special := strings.CutPrefix(name, "=")
	beside, outside := strings.CutPrefix(section, "outside/")
	switch {
	case !special:
		c.files[name] = data
	case outside:
		c.outside[beside] = data
	case section == "case":
		for line := range strings.Lines(string(data)) {
			key, value, ok := strings.Cut(strings.TrimSpace(line), ":")
			if !ok {
				return fmt.Errorf("%q is not KEY: VALUE", line)
			}
			c.directives = append(c.directives, [2]string{key, strings.TrimSpace(value)})
		}
	case slices.Contains([]string{"tree", "config", "history", "output", "warning", "error"}, section):
		c.want[section] = string(data)
	default:
		return fmt.Errorf("%q is no section", name)
	}
	return nil
}

// values gives what the directives of a key say, in order.
func (c *buildCase) values(key string) []string {
	var all []string
	for _, d := range c.directives {
		if d[0] == key {
			all = append(all, d[1])
		}
	}
	return all
}

// buildCommand is what is asked of a builder.
type buildCommand struct {
	dir   string // of the context; a directory of its own above it
	args  []string
	env   []string
	stdin []byte
}

// prepare makes the context of a case below top.
func (c *buildCase) prepare(top string, server string) (buildCommand, error) {
	cmd := buildCommand{dir: filepath.Join(top, "context")}
	if err := os.MkdirAll(cmd.dir, 0o755); err != nil {
		return cmd, err
	}
	for where, files := range map[string]map[string][]byte{cmd.dir: c.files, top: c.outside} {
		for name, data := range files {
			path := filepath.Join(where, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return cmd, err
			}
			if err := os.WriteFile(path, data, 0o644); err != nil {
				return cmd, err
			}
		}
	}
	context := "."
	for _, d := range c.directives {
		if err := c.apply(&cmd, &context, d[0], strings.ReplaceAll(d[1], "@URL@", server)); err != nil {
			return cmd, fmt.Errorf("%s: %w", d[0], err)
		}
	}
	cmd.args = append(cmd.args, context)
	return cmd, filepath.WalkDir(cmd.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		then := []unix.Timespec{{Sec: 1e9}, {Sec: 1e9}}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, then, unix.AT_SYMLINK_NOFOLLOW)
	})
}

// apply does what a directive says; those that say nothing about the context are
// for others.
func (c *buildCase) apply(cmd *buildCommand, context *string, key, value string) error {
	name, rest, _ := strings.Cut(value, " ")
	path := filepath.Join(cmd.dir, name)
	switch key {
	case "args": // flags of the command
		cmd.args = append(cmd.args, strings.Fields(value)...)
	case "env": // NAME=VALUE, of the command
		cmd.env = append(cmd.env, value)
	case "context": // its last argument
		*context = value
	case "stdin": // a file of the context; "tar": all of it
		*context = "-"
		if value != "tar" {
			data, err := os.ReadFile(path)
			cmd.stdin = data
			return err
		}
		var b bytes.Buffer
		err := packDir(&b, cmd.dir, "0:0")
		cmd.stdin = b.Bytes()
		return err
	case "mode":
		mode, err := strconv.ParseUint(rest, 8, 32)
		if err != nil {
			return err
		}
		return unix.Chmod(path, uint32(mode))
	case "link":
		return os.Symlink(rest, path)
	case "hard":
		return os.Link(filepath.Join(cmd.dir, rest), path)
	case "dir":
		return os.MkdirAll(path, 0o755)
	case "fifo":
		return unix.Mkfifo(path, 0o644)
	case "raw": // a file of that content, quoted as in Go
		data, err := strconv.Unquote(rest)
		if err != nil {
			return err
		}
		return os.WriteFile(path, []byte(data), 0o644)
	case "base64":
		data, err := base64.StdEncoding.DecodeString(rest)
		if err != nil {
			return err
		}
		return os.WriteFile(path, data, 0o644)
	case "tar": // ARCHIVE DIR [UID:GID]: the directory becomes an archive, compressed as its name says
		return packAway(cmd.dir, name, rest)
	case "differs", "check", "needs", "why":
	default:
		return fmt.Errorf("no such key")
	}
	return nil
}

func packAway(top, archive, rest string) error {
	dir, owner, _ := strings.Cut(rest, " ")
	if owner == "" {
		owner = "0:0"
	}
	var b bytes.Buffer
	if err := packDir(&b, filepath.Join(top, dir), owner); err != nil {
		return err
	}
	l := registry.Layer{Blob: b.Bytes()}
	for suffix, how := range map[string]string{".gz": "gzip", ".tgz": "gzip", ".zst": "zstd"} {
		if strings.HasSuffix(archive, suffix) {
			var err error
			if l, err = registry.NewLayer(b.Bytes(), how); err != nil {
				return err
			}
		}
	}
	if err := os.WriteFile(filepath.Join(top, archive), l.Blob, 0o644); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(top, dir))
}

// packDir writes what is in a directory as a tar of an owner's.
func packDir(w io.Writer, dir, owner string) error {
	var uid, gid int
	if _, err := fmt.Sscanf(owner, "%d:%d", &uid, &gid); err != nil {
		return err
	}
	t := tar.NewWriter(w)
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		st, err := os.Lstat(path)
		if err != nil {
			return err
		}
		target := ""
		if st.Mode().Type() == fs.ModeSymlink {
			if target, err = os.Readlink(path); err != nil {
				return err
			}
		}
		h, err := tar.FileInfoHeader(st, target)
		if err != nil {
			return err
		}
		h.Name = strings.TrimPrefix(path, dir+"/")
		h.Uid, h.Gid, h.Uname, h.Gname, h.ModTime = uid, gid, "", "", time.Unix(1e9, 0)
		if err := t.WriteHeader(h); err != nil || !st.Mode().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		_, err = t.Write(data)
		return err
	})
	if err != nil {
		return err
	}
	return t.Close()
}

// writeCases fills in the sections that are "?", in the files of the tree.
func writeCases(all map[*buildCase]map[string]string) error {
	groups := map[string]map[string]string{} // group, then CASE/=SECTION
	for c, found := range all {
		if groups[c.group] == nil {
			groups[c.group] = map[string]string{}
		}
		for section, text := range found {
			if strings.TrimSpace(c.want[section]) == "?" {
				groups[c.group][c.name+"/="+section] = text
			}
		}
	}
	for group, found := range groups {
		path := filepath.Join("buildcases", group+".txtar")
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		a := txtar.Parse(raw)
		for i, f := range a.Files {
			if text, ok := found[f.Name]; ok {
				a.Files[i].Data = []byte(text)
			}
		}
		if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// wordsIn says which lines of want are not in text.
func wordsIn(text, want string) (missing []string) {
	s := bufio.NewScanner(strings.NewReader(want))
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); !strings.Contains(text, line) {
			missing = append(missing, line)
		}
	}
	return missing
}
