package transfer

import (
	"context"
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"
	"go.podman.io/image/v5/docker/archive"
	"go.podman.io/image/v5/types"

	"sbx/api"
)

// dockerIndex is the file that makes a tar archive a docker-archive.
const dockerIndex = "manifest.json"

// archived is an image in a docker-archive.
type archived struct {
	Config   string   // file
	RepoTags []string // whole names
	Layers   []string // files, bottom first
}

// loadDocker takes images of a docker-archive: the one called *only, or all.
func (j pulling) loadDocker(ctx context.Context, in *tarFiles, source string, only *string) ([]Loaded, error) {
	data, err := readSmall(in, dockerIndex, maxManifest)
	if err != nil {
		return nil, err
	}
	var items []archived
	if err := json.Unmarshal(data, &items); err != nil {
		return nil, badManifest("manifest.json is not JSON of the right form: %s", clean(err.Error()))
	}
	if only != nil {
		if items, err = pick(items, *only); err != nil {
			return nil, err
		}
	}
	var all []Loaded
	for _, item := range items {
		got, err := j.loadArchived(ctx, in, item)
		if err != nil {
			return nil, err
		}
		all = append(all, got)
	}
	if len(all) == 0 {
		return nil, badManifest("the archive has no image")
	}
	return all, nil
}

// pick finds the image called name: a name, @INDEX, or empty for the only one.
func pick(items []archived, name string) ([]archived, error) {
	if name == "" && len(items) == 1 {
		return items, nil
	}
	var titles []string
	want, err := reference.ParseNormalizedNamed(name)
	for i, item := range items {
		titles = append(titles, strings.Join(item.RepoTags, " "))
		if name == "@"+strconv.Itoa(i) {
			return items[i : i+1], nil
		}
		for _, tag := range item.RepoTags {
			has, err2 := reference.ParseNormalizedNamed(tag)
			if err == nil && err2 == nil && reference.TagNameOnly(want).String() == has.String() {
				item.RepoTags = []string{tag}
				return []archived{item}, nil
			}
		}
	}
	return nil, api.Errorf("find image", printable(name), "the archive has %s", list(titles)).
		WithHint("give one of these behind the path and a colon")
}

// loadArchived takes one image. The layers of a docker-archive have no digests but
// those of the configuration, so that these are what they are verified by.
func (j pulling) loadArchived(ctx context.Context, in *tarFiles, item archived) (Loaded, error) {
	names := []string{}
	for _, tag := range item.RepoTags {
		named, err := reference.ParseNormalizedNamed(tag)
		if err != nil || isDigested(named) {
			return Loaded{}, badManifest("%q is not a name with a tag", clean(tag))
		}
		names = append(names, reference.TagNameOnly(named).String())
	}
	conf, err := readSmall(in, item.Config, maxConfig)
	if err != nil {
		return Loaded{}, err
	}
	d := delivery{session: j.session, from: origin{names: names}, mediaType: dockerManifest, config: conf}
	if d.conf, err = parseConfiguration(conf, len(item.Layers)); err != nil {
		return Loaded{}, err
	}
	if err := j.checkPlatform(d.conf); err != nil {
		return Loaded{}, err
	}
	ref, err := archive.NewReference("/archive.tar", nil) // a policy has no rules for paths of these
	if err != nil {
		return Loaded{}, err
	}
	img := unsigned{ref}
	if err := j.session.policy.check(ctx, img); err != nil {
		return Loaded{}, err
	}
	for _, file := range item.Layers {
		r, size, err := in.open(file)
		if err != nil {
			return Loaded{}, badManifest("the layer %s is not in the archive", printable(file))
		}
		r.Close()
		d.layers = append(d.layers, imgspecv1.Descriptor{MediaType: dockerLayer, Size: size})
	}
	d.open = func(_ context.Context, i int) (io.ReadCloser, imgspecv1.Descriptor, error) {
		r, _, err := in.open(item.Layers[i])
		return r, d.layers[i], err
	}
	d.remake = d.dockerManifest
	made, fresh, err := d.deliver(ctx)
	return Loaded{made, slices.Clip(names), digest.FromBytes(d.manifest), fresh}, err
}

// dockerManifest makes the manifest that a docker-archive does not have, as podman
// makes it: with the layers as they are without compression.
func (d *delivery) dockerManifest(sizes []int64) ([]byte, error) {
	layers := make([]imgspecv1.Descriptor, len(d.layers))
	for i, id := range d.conf.RootFS.DiffIDs {
		layers[i] = imgspecv1.Descriptor{MediaType: dockerLayer + ".gzip", Digest: id, Size: sizes[i]}
		if sizes[i] == 0 {
			layers[i].Size = d.layers[i].Size
		}
	}
	return json.Marshal(plainManifest{2, dockerManifest, imgspecv1.Descriptor{
		MediaType: dockerConfig, Digest: digest.FromBytes(d.config), Size: int64(len(d.config)),
	}, layers})
}

// plainManifest has the fields of a manifest that all images have.
type plainManifest struct {
	SchemaVersion int                    `json:"schemaVersion"`
	MediaType     string                 `json:"mediaType"`
	Config        imgspecv1.Descriptor   `json:"config"`
	Layers        []imgspecv1.Descriptor `json:"layers"`
}

// unsigned is an image of a docker-archive as a policy sees it: there is nothing
// but where it comes from.
type unsigned struct{ ref types.ImageReference }

// Reference implements types.UnparsedImage.
func (u unsigned) Reference() types.ImageReference { return u.ref }

// Manifest implements types.UnparsedImage.
func (unsigned) Manifest(context.Context) ([]byte, string, error) { return nil, "", nil }

// Signatures implements types.UnparsedImage.
func (unsigned) Signatures(context.Context) ([][]byte, error) { return nil, nil }
