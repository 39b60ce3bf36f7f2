package image

import (
	"context"
	"errors"
	"io"

	"go.podman.io/storage"

	"sbx/api"
	"sbx/internal/undo"
)

// ImportOptions say what becomes of an archive.
type ImportOptions struct {
	Name    string   // [HOST/]NAME[:TAG]; empty for an image without a name
	Message string   // kept in the image's history
	Source  string   // the archive, for messages: the file's name, or "-"
	Changes []string // Dockerfile instructions that fill in the image's Config
}

// Import makes an image with one layer of the root file system in the tar archive
// r: plain, or packed with gzip, bzip2, xz or zstd. An image that has the name
// loses it. When Import returns without an error the image is on the disk; with
// one, nothing is left of it.
//
// Errors are *api.Error with the archive's name. Ending ctx stops the import at
// the next read of r; a read that waits ends when the caller closes r.
func (s *Store) Import(ctx context.Context, r io.Reader, opts ImportOptions) (img Image, err error) {
	config, err := parseChanges(opts.Changes)
	if err != nil {
		return Image{}, err
	}
	name := ""
	if opts.Name != "" {
		if name, err = newName(opts.Name); err != nil {
			return Image{}, err
		}
	}
	var undo undo.Stack
	defer func() {
		if err != nil {
			img, err = Image{}, about(err, undo.Close(), opts.Source)
		}
	}()
	layer, err := s.putLayer(ctx, r)
	if layer != nil {
		undo.Add("delete layer "+layer.ID, func() error { return s.deleteLayer(layer.ID) })
	}
	if err != nil {
		return Image{}, err
	}
	return s.putImage(layer, config, name, opts)
}

// deleteLayer deletes a layer that may be gone already, with the image on it.
func (s *Store) deleteLayer(id string) error {
	if err := s.store.DeleteLayer(id); !errors.Is(err, storage.ErrLayerUnknown) {
		return err
	}
	return nil
}

// putLayer unpacks the archive into a new layer. A layer that comes with an error
// is to be deleted.
func (s *Store) putLayer(ctx context.Context, r io.Reader) (*storage.Layer, error) {
	free, err := roomAt(s.graphRoot)
	if err != nil {
		return nil, err
	}
	packed := &counter{r: r}
	plain, err := decompress(packed)
	if err != nil {
		return nil, (&stream{}).explain(err)
	}
	defer plain.Close()
	check := newChecker()
	check.uids, check.gids, check.squash, check.room = s.uids, s.gids, s.squash(), free
	in := newStream(ctx, plain, packed, check)
	layer, _, err := s.store.PutLayer("", "", nil, "", false, nil, in)
	// What the archive is refused for ends the library's input, so that it reports
	// an end too early, if anything.
	if fault := in.fault(); fault != nil {
		return layer, fault
	}
	if err != nil {
		return nil, explain(err)
	}
	return layer, nil
}

// about puts the archive's name into an error, and what could not be undone.
func about(err, left error, source string) error {
	var with api.Error
	var e *api.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		with.Msg = "stopped"
	case errors.As(err, &e):
		with = *e
	default:
		with = *api.Wrap("import", "", err)
	}
	with.Op, with.Path = "import", printable(source)
	if left != nil {
		with.Msg += "; it left something behind: " + plain(left.Error())
	}
	return &with
}
