package transfer

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"

	"sbx/api"
)

// tarWriter writes a tar archive of plain files. The same files give the same
// bytes.
type tarWriter struct {
	*tar.Writer
	ctx  context.Context
	have map[string]bool
}

func newTarWriter(ctx context.Context, w io.Writer) *tarWriter {
	return &tarWriter{tar.NewWriter(w), ctx, map[string]bool{}}
}

// file writes one file, unless there is one of the name.
func (t *tarWriter) file(name string, size int64, r io.Reader) error {
	if t.have[name] {
		return nil
	}
	t.have[name] = true
	if err := t.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o444, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{t}, &stoppable{t.ctx, r}, make([]byte, 256<<10))
	if err == nil && n != size {
		err = fmt.Errorf("%s: %d bytes, not %d", name, n, size)
	}
	return err
}

func (t *tarWriter) text(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return t.file(name, int64(len(data)), strings.NewReader(string(data)))
}

// saveDocker writes a docker-archive: what docker load and podman load read. Layers
// are in it as they are without compression, each once.
func (s *session) saveDocker(ctx context.Context, f *os.File, images []saved) error {
	out := newTarWriter(ctx, f)
	index := []archived{}
	tags := map[string]map[string]string{} // repository, tag: the top layer; for old versions of docker
	for _, sv := range images {
		rec, err := s.Store.Record(sv.img.ID)
		if err != nil {
			return err
		}
		item := archived{Config: sv.img.ID + ".json", RepoTags: append([]string{}, sv.names...), Layers: []string{}}
		for i, id := range rec.DiffIDs {
			name := id.Encoded() + ".tar"
			item.Layers = append(item.Layers, name)
			if err := s.saveLayer(out, sv, i, id, name); err != nil {
				return err
			}
		}
		if err := out.file(item.Config, int64(len(rec.Config)), strings.NewReader(string(rec.Config))); err != nil {
			return err
		}
		for _, name := range sv.names {
			repo, tag, _ := cutTag(name)
			if tags[repo] == nil {
				tags[repo] = map[string]string{}
			}
			tags[repo][tag] = rec.DiffIDs[len(rec.DiffIDs)-1].Encoded()
		}
		index = append(index, item)
	}
	if err := out.text(dockerIndex, index); err != nil {
		return err
	}
	if err := out.text("repositories", tags); err != nil {
		return err
	}
	return out.Close()
}

func (s *session) saveLayer(out *tarWriter, sv saved, i int, id digest.Digest, name string) (err error) {
	size := sv.img.LayerSizes[i]
	if out.have[name] {
		return nil
	}
	r, err := s.Store.OpenLayer(sv.img, i)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	counted := &countingReader{r: r, moved: func(n int64) { s.board.set(stepID(id), api.StepPushing, n, size) }}
	if err := out.file(name, size, counted); err != nil {
		return err
	}
	s.board.set(stepID(id), api.StepComplete, size, size)
	return nil
}
