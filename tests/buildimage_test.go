package tests

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"sbx/tests/registry"
)

// builtImage is what a builder has made, as text that can be compared.
type builtImage struct {
	Tree, Config, History string
	Layers                int
}

// imageBlobs is a saved image.
type imageBlobs struct {
	manifest []byte
	blob     func(digest string) ([]byte, error)
}

// ociDir is the only image of an OCI layout.
func ociDir(dir string) (imageBlobs, error) {
	blob := func(digest string) ([]byte, error) {
		return os.ReadFile(filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(digest, "sha256:")))
	}
	raw, err := os.ReadFile(filepath.Join(dir, "index.json"))
	if err != nil {
		return imageBlobs{}, err
	}
	var index struct{ Manifests []registry.Descriptor }
	if err := json.Unmarshal(raw, &index); err != nil || len(index.Manifests) != 1 {
		return imageBlobs{}, fmt.Errorf("index.json: %w: %s", err, raw)
	}
	manifest, err := blob(index.Manifests[0].Digest)
	return imageBlobs{manifest, blob}, err
}

// plainDir is an image as containers/image writes it into a directory.
func plainDir(dir string) (imageBlobs, error) {
	manifest, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	return imageBlobs{manifest, func(digest string) ([]byte, error) {
		return os.ReadFile(filepath.Join(dir, strings.TrimPrefix(digest, "sha256:")))
	}}, err
}

// treeEntry is a file of an image.
type treeEntry struct {
	head  string // kind, mode and owner
	tail  string // content, target of a link, attributes
	mtime int64
}

// imageConfig is what we compare of an image's configuration.
type imageConfig struct {
	Config map[string]any
	RootFS struct {
		DiffIDs []string `json:"diff_ids"`
	}
	History []struct {
		CreatedBy  string `json:"created_by"`
		EmptyLayer bool   `json:"empty_layer"`
	}
}

// imageBase is what every case may begin with: what it has already is no news.
type imageBase struct {
	tree   map[string]treeEntry
	config imageConfig
}

func readBase(p registry.Packed) (*imageBase, error) {
	b := &imageBase{tree: map[string]treeEntry{}}
	for _, l := range p.Blobs {
		if err := applyLayer(b.tree, l); err != nil {
			return nil, err
		}
	}
	return b, json.Unmarshal(p.Config, &b.config)
}

// describing says how an image is described.
type describing struct {
	times bool                                                   // those of the files are shown
	tidy  func(tree map[string]treeEntry, config map[string]any) // takes away what does not count
}

// describe says what an image has beyond the base; one that is not made from it has
// all of it.
func (base *imageBase) describe(i imageBlobs, how describing) (builtImage, error) {
	var b builtImage
	var manifest struct {
		Config registry.Descriptor
		Layers []registry.Descriptor
	}
	if err := json.Unmarshal(i.manifest, &manifest); err != nil {
		return b, err
	}
	raw, err := i.blob(manifest.Config.Digest)
	if err != nil {
		return b, err
	}
	var c imageConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		return b, err
	}
	below := base
	if n := len(base.config.RootFS.DiffIDs); len(c.RootFS.DiffIDs) < n || !slices.Equal(c.RootFS.DiffIDs[:n], base.config.RootFS.DiffIDs) {
		below = &imageBase{}
	}
	tree := maps.Clone(below.tree)
	if tree == nil {
		tree = map[string]treeEntry{}
	}
	if len(manifest.Layers) != len(c.RootFS.DiffIDs) {
		return b, fmt.Errorf("%d layers, %d diff ids", len(manifest.Layers), len(c.RootFS.DiffIDs))
	}
	for _, l := range manifest.Layers[len(below.config.RootFS.DiffIDs):] {
		blob, err := i.blob(l.Digest)
		if err == nil {
			err = applyLayer(tree, blob)
		}
		if err != nil {
			return b, fmt.Errorf("layer %s: %w", l.Digest, err)
		}
		b.Layers++
	}
	if how.tidy != nil {
		how.tidy(tree, c.Config)
	}
	b.Tree = treeText(tree, below.tree, how.times)
	b.Config = configText(c.Config, below.config.Config)
	if len(c.History) < len(below.config.History) {
		return b, errors.New("the history of the base is missing")
	}
	withLayer := 0
	for _, h := range c.History[len(below.config.History):] {
		if h.EmptyLayer {
			b.History += "- "
		} else {
			withLayer++
		}
		b.History += instructionOf(h.CreatedBy) + "\n"
	}
	if withLayer != b.Layers {
		b.History += fmt.Sprintf("(but %d layers)\n", b.Layers)
	}
	return b, nil
}

// instructionOf gives the instruction that made an entry of a history, which
// builders write in their own ways.
func instructionOf(createdBy string) string {
	s := strings.TrimPrefix(createdBy, "/bin/sh -c #(nop) ")
	if s == createdBy && !slices.Contains(instructionWords, strings.ToUpper(firstWord(s))) {
		return "RUN" // the command alone
	}
	return strings.ToUpper(firstWord(s))
}

var instructionWords = strings.Fields("ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR")

func firstWord(s string) string {
	word, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return word
}

func applyLayer(tree map[string]treeEntry, blob []byte) error {
	r, err := decompressed(blob)
	if err != nil {
		return err
	}
	own := map[string]bool{}
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		name := path.Clean("/" + h.Name)
		dir, last := path.Split(name)
		if hidden, ok := strings.CutPrefix(last, ".wh."); ok {
			target := dir + hidden
			if last == ".wh..wh..opq" {
				target = path.Clean(dir)
			}
			maps.DeleteFunc(tree, func(p string, _ treeEntry) bool {
				below := strings.HasPrefix(p, strings.TrimSuffix(target, "/")+"/") || p == target && last != ".wh..wh..opq"
				return below && !own[p]
			})
			continue
		}
		e, err := entryOf(t, h, tree)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if h.Typeflag != tar.TypeDir {
			maps.DeleteFunc(tree, func(p string, _ treeEntry) bool { return strings.HasPrefix(p, name+"/") })
		}
		tree[name], own[name] = e, true
	}
}

func decompressed(blob []byte) (io.Reader, error) {
	switch {
	case bytes.HasPrefix(blob, []byte{0x1f, 0x8b}):
		return gzip.NewReader(bytes.NewReader(blob))
	case bytes.HasPrefix(blob, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return zstd.NewReader(bytes.NewReader(blob))
	}
	return bytes.NewReader(blob), nil
}

func entryOf(r io.Reader, h *tar.Header, tree map[string]treeEntry) (treeEntry, error) {
	e := treeEntry{mtime: h.ModTime.Unix()}
	kind := map[byte]string{tar.TypeDir: "d", tar.TypeReg: "-", tar.TypeSymlink: "l", tar.TypeFifo: "p", tar.TypeChar: "c", tar.TypeBlock: "b"}[h.Typeflag]
	switch h.Typeflag {
	case tar.TypeLink:
		other, ok := tree[path.Clean("/"+h.Linkname)]
		if !ok {
			return e, fmt.Errorf("a hard link to %s, which is not there", h.Linkname)
		}
		return other, nil
	case tar.TypeReg:
		data, err := io.ReadAll(r)
		if err != nil {
			return e, err
		}
		e.tail = " " + contentText(data)
	case tar.TypeSymlink:
		e.tail = " -> " + h.Linkname
	case tar.TypeChar, tar.TypeBlock:
		e.tail = fmt.Sprintf(" %d:%d", h.Devmajor, h.Devminor)
	}
	for _, key := range slices.Sorted(maps.Keys(h.PAXRecords)) {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			e.tail += fmt.Sprintf(" %s=%q", name, h.PAXRecords[key])
		}
	}
	e.head = fmt.Sprintf("%s %04o %d:%d", kind, h.Mode&0o7777, h.Uid, h.Gid)
	return e, nil
}

func contentText(data []byte) string {
	if len(data) <= 200 && utf8.Valid(data) {
		return strconv.Quote(string(data))
	}
	return fmt.Sprintf("%d bytes, sha256 %.6x", len(data), sha256.Sum256(data))
}

// treeText lists what is in a tree and not, or not so, in the one below; what is
// only there is marked by x.
func treeText(tree, below map[string]treeEntry, times bool) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		e := tree[name]
		before, was := below[name]
		// A directory of the base that a layer repeats is no change.
		if before.mtime = e.mtime; was && before == e || name == "/" {
			continue
		}
		b.WriteString(e.head + " " + name + e.tail)
		if times && e.head[0] != 'd' {
			fmt.Fprintf(&b, " @%d", e.mtime)
		}
		b.WriteByte('\n')
	}
	for _, name := range slices.Sorted(maps.Keys(below)) {
		if _, still := tree[name]; !still {
			b.WriteString("x " + name + "\n")
		}
	}
	return b.String()
}

// configText is a configuration as lines, without what the one below says as well. A
// working directory of / is the same as none.
func configText(config, below map[string]any) string {
	var lines []string
	all := maps.Clone(below)
	if all == nil {
		all = map[string]any{}
	}
	maps.Copy(all, config)
	for _, key := range slices.Sorted(maps.Keys(all)) {
		switch now, before := text(config[key]), text(below[key]); {
		case now == before || config[key] == "/" && key == "WorkingDir":
			continue
		case slices.Contains([]string{"null", "[]", "{}", `""`}, now):
			if !slices.Contains([]string{"null", "[]"}, before) {
				lines = append(lines, "no "+key)
			}
			continue
		}
		switch v := config[key].(type) {
		case map[string]any:
			if key == "Healthcheck" {
				lines = append(lines, key+" "+text(v))
				continue
			}
			for _, k := range slices.Sorted(maps.Keys(v)) {
				if value, ok := v[k].(string); ok {
					k += "=" + value
				}
				lines = append(lines, key+" "+k)
			}
		case []any:
			if key != "Env" && key != "OnBuild" {
				lines = append(lines, key+" "+text(v))
				continue
			}
			had, _ := below[key].([]any)
			for _, one := range v {
				if !slices.Contains(had, one) {
					lines = append(lines, fmt.Sprint(key, " ", one))
				}
			}
		case string:
			lines = append(lines, key+" "+v)
		default:
			if v != false {
				lines = append(lines, key+" "+text(v))
			}
		}
	}
	return strings.Join(append(lines, ""), "\n")
}

func text(v any) string {
	var b strings.Builder
	j := json.NewEncoder(&b)
	j.SetEscapeHTML(false)
	if err := j.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(b.String(), "\n")
}
