package transfer

import (
	"context"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/types"

	"sbx/api"
)

// layout is an OCI image layout, in a directory or an archive.
// https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md
type layout struct {
	files
	entries []imgspecv1.Descriptor // of index.json
}

func openLayout(in files) (*layout, error) {
	data, err := readSmall(in, imgspecv1.ImageIndexFile, maxManifest)
	if err != nil {
		return nil, err
	}
	if err := ambiguous(data); err != nil {
		return nil, err
	}
	var index imgspecv1.Index
	if err := json.Unmarshal(data, &index); err != nil {
		return nil, badManifest("index.json is not JSON of the right form: %s", clean(err.Error()))
	}
	return &layout{in, index.Manifests}, checkDescriptors(index.Manifests)
}

// blobPath is where a layout keeps a blob. The digest must be valid.
func blobPath(d digest.Digest) string {
	return "blobs/" + d.Algorithm().String() + "/" + d.Encoded()
}

// blob reads a small blob whole and verifies it.
func (l *layout) blob(d imgspecv1.Descriptor, limit int64) ([]byte, error) {
	r, size, err := l.open(blobPath(d.Digest))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	d.Size = size
	return readBlob(r, d, limit)
}

// containerdName is where docker and containerd keep the whole name of an image.
const containerdName = "io.containerd.image.name"

// title is the name that a layout gives to an entry: a whole name, or just a tag.
func title(d imgspecv1.Descriptor) string {
	if name := d.Annotations[containerdName]; name != "" {
		return name
	}
	return d.Annotations[imgspecv1.AnnotationRefName]
}

// entry finds the one image that is called name: a title, the tag of one, @INDEX,
// or empty for the only one.
func (l *layout) entry(name string) (imgspecv1.Descriptor, error) {
	index, byIndex := strings.CutPrefix(name, "@")
	var titles []string
	var found []imgspecv1.Descriptor
	for i, d := range l.entries {
		t := title(d)
		titles = append(titles, t)
		_, tag, _ := cutTag(t)
		if name == "" || t == name || tag == name || d.Annotations[imgspecv1.AnnotationRefName] == name ||
			byIndex && index == strconv.Itoa(i) {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) == 0 && name != "":
		return imgspecv1.Descriptor{}, api.Errorf("find image", printable(name), "the layout has none of this name, but %s", list(titles)).
			WithHint("give one of these behind the path and a colon")
	case len(found) == 0:
		return imgspecv1.Descriptor{}, badManifest("the layout has no image")
	}
	return imgspecv1.Descriptor{}, api.Errorf("find image", printable(name), "the layout has several: %s", list(titles)).
		WithHint("give one of these behind the path and a colon")
}

// list is names for a message.
func list(names []string) string {
	for i, n := range names {
		if names[i] = clean(n); n == "" {
			names[i] = "@" + strconv.Itoa(i)
		}
	}
	return clean(strings.Join(names, ", "))
}

// layoutSource is one image of a layout, as the library sees images.
type layoutSource struct {
	*layout
	ref   types.ImageReference
	image imgspecv1.Descriptor
}

// Reference implements types.ImageSource.
func (s *layoutSource) Reference() types.ImageReference { return s.ref }

// Close implements types.ImageSource. The layout stays open for other images.
func (s *layoutSource) Close() error { return nil }

// GetManifest implements types.ImageSource. What it returns has been verified.
func (s *layoutSource) GetManifest(_ context.Context, instance *digest.Digest) ([]byte, string, error) {
	d := s.image
	if instance != nil {
		if err := instance.Validate(); err != nil {
			return nil, "", err
		}
		d = imgspecv1.Descriptor{Digest: *instance}
	}
	data, err := s.blob(d, maxManifest)
	return data, d.MediaType, err
}

// GetBlob implements types.ImageSource.
func (s *layoutSource) GetBlob(_ context.Context, b types.BlobInfo, _ types.BlobInfoCache) (io.ReadCloser, int64, error) {
	if err := b.Digest.Validate(); err != nil {
		return nil, 0, err
	}
	return s.open(blobPath(b.Digest))
}

// HasThreadSafeGetBlob implements types.ImageSource.
func (s *layoutSource) HasThreadSafeGetBlob() bool { return true }

// GetSignatures implements types.ImageSource: layouts have none.
func (s *layoutSource) GetSignatures(context.Context, *digest.Digest) ([][]byte, error) {
	return nil, nil
}

// LayerInfosForCopy implements types.ImageSource.
func (s *layoutSource) LayerInfosForCopy(context.Context, *digest.Digest) ([]types.BlobInfo, error) {
	return nil, nil
}
