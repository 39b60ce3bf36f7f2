package image

import (
	"context"
	"errors"
	"io"

	"sbx/api"
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
	config := Config{}
	if err := config.Change(opts.Changes); err != nil {
		return Image{}, err
	}
	name := ""
	if opts.Name != "" {
		if name, err = newName(opts.Name); err != nil {
			return Image{}, err
		}
	}
	layer, err := s.Stage(ctx, r, StageOptions{Source: opts.Source, Rootfs: true})
	if err != nil {
		return Image{}, err
	}
	n, err := describe(layer, config, opts)
	if err != nil {
		return Image{}, about("import", err, s.Discard(layer), opts.Source)
	}
	if name != "" {
		n.Names = []string{name}
	}
	img, err = s.Commit(ctx, n)
	if err != nil {
		return Image{}, about("import", err, nil, opts.Source)
	}
	return img, nil
}

// about puts what was done, and on what, into an error, and what could not be undone.
func about(op string, err, left error, source string) error {
	var with api.Error
	var e *api.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		with.Msg = "stopped"
	case errors.As(err, &e):
		with = *e
	default:
		with = *api.Wrap(op, "", err)
	}
	with.Op, with.Path = op, printable(source)
	if left != nil {
		with.Msg += "; it left something behind: " + plain(left.Error())
	}
	return &with
}
