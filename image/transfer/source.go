package transfer

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/distribution/reference"
	"go.podman.io/image/v5/directory"
	ociarchive "go.podman.io/image/v5/oci/archive"
	ocilayout "go.podman.io/image/v5/oci/layout"
	"go.podman.io/image/v5/types"

	"sbx/api"
)

// fromFile pulls an image that is in a directory or an archive.
func (j pulling) fromFile(ctx context.Context, at place) (Pulled, error) {
	defer j.board.join(j.Report)()
	defer j.board.flush()
	var got []Loaded
	var err error
	switch at.transport {
	case dirTransport:
		got, err = j.loadDir(ctx, at.path)
	case layoutTransport:
		got, err = j.loadLayoutDir(ctx, at.path, &at.image)
	default:
		got, err = j.loadArchive(ctx, at)
	}
	if err != nil {
		return Pulled{}, explain("pull", j.name, "", err)
	}
	last := got[len(got)-1]
	p := Pulled{Image: last.Image, Fresh: last.fresh, Digest: last.digest}
	if len(last.Names) > 0 {
		p.Name = last.Names[0]
	}
	return p, nil
}

func (j pulling) loadArchive(ctx context.Context, at place) ([]Loaded, error) {
	f, err := os.Open(at.path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return j.loadFile(ctx, f, at.path, &at.image)
}

// loadDir takes the one image of a dir: directory.
func (j pulling) loadDir(ctx context.Context, path string) ([]Loaded, error) {
	ref, err := directory.NewReference(path)
	if err != nil {
		return nil, err
	}
	return j.loadImage(ctx, ref, localName(path, ""))
}

// loadImage takes an image from a reference of the library's.
func (j pulling) loadImage(ctx context.Context, ref types.ImageReference, names []string) (_ []Loaded, err error) {
	src, err := ref.NewImageSource(ctx, &j.sys)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	got, err := j.receive(ctx, src, origin{names: names})
	return []Loaded{{got.Image, names, got.Digest, got.Fresh}}, err
}

// loadLayoutDir takes images of an OCI layout: the one called *only, or all.
func (j pulling) loadLayoutDir(ctx context.Context, path string, only *string) (_ []Loaded, err error) {
	in, err := openDir(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	ref, err := ocilayout.NewReference(path, "")
	if err != nil {
		return nil, err
	}
	l, err := openLayout(in)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notALayout(path)
	}
	if err != nil {
		return nil, err
	}
	return j.loadLayout(ctx, l, path, ref, only)
}

// loadLayoutArchive is loadLayoutDir for an archive.
func (j pulling) loadLayoutArchive(ctx context.Context, in files, path string, only *string) ([]Loaded, error) {
	l, err := openLayout(in)
	if err != nil {
		return nil, err
	}
	// A policy may have rules for archives below a directory.
	where := path
	if !filepath.IsAbs(where) || strings.Contains(where, ":") {
		where = "/stdin.tar"
	}
	ref, err := ociarchive.NewReference(where, "")
	if err != nil {
		return nil, err
	}
	return j.loadLayout(ctx, l, path, ref, only)
}

func (j pulling) loadLayout(ctx context.Context, l *layout, path string, ref types.ImageReference, only *string) ([]Loaded, error) {
	entries := l.entries
	if only != nil {
		e, err := l.entry(*only)
		if err != nil {
			return nil, err
		}
		entries = append(entries[:0:0], e)
	}
	var all []Loaded
	for _, e := range entries {
		if p := e.Platform; p != nil && p.OS == "unknown" && len(entries) > 1 {
			continue // an attestation
		}
		names := localName(path, title(e))
		got, err := j.receive(ctx, &layoutSource{l, ref, e}, origin{names: names})
		if err != nil {
			return nil, err
		}
		all = append(all, Loaded{got.Image, names, got.Digest, got.Fresh})
	}
	if len(all) == 0 {
		return nil, badManifest("the layout has no image")
	}
	return all, nil
}

func notALayout(path string) error {
	return api.Errorf("read image", path, "this is no OCI image layout, and no docker-archive").
		WithHint("a root file system is taken in with: sbx import")
}

var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// localName is the name of an image by the title it has at path: a whole name, or
// only a tag, which then goes to the file's own name below localhost. A title with a
// digest gives none: whoever made the layout could claim any.
func localName(path, title string) []string {
	if strings.ContainsAny(title, "/:") {
		if named, err := reference.ParseNormalizedNamed(title); err == nil && isDigested(named) {
			return nil
		} else if err == nil {
			return []string{reference.TagNameOnly(named).String()}
		}
	}
	base := filepath.Base(path)
	for _, ext := range []string{".gz", ".zst", ".xz", ".bz2", ".tar", ".tgz"} {
		base = strings.TrimSuffix(base, ext)
	}
	base = strings.Trim(notInName.ReplaceAllString(strings.ToLower(base), "-"), "-")
	if base == "" {
		return nil
	}
	if title == "" {
		title = "latest"
	}
	named, err := reference.ParseNormalizedNamed("localhost/" + base + ":" + title)
	if err != nil {
		return nil
	}
	return []string{named.String()}
}
