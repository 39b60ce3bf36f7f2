package transfer

import (
	"encoding/json"
	"slices"

	"github.com/opencontainers/go-digest"
	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"sbx/api"
	"sbx/image"
)

// format is a family of media types, known by that of its manifest.
type format string

const (
	formatOCI    format = imgspecv1.MediaTypeImageManifest
	formatDocker format = dockerManifest
)

// parseFormat reads api.Push.Format; "" means the image's own.
func parseFormat(s string, own string) (format, error) {
	switch s {
	case "":
		if format(own) == formatDocker {
			return formatDocker, nil
		}
		return formatOCI, nil
	case "oci":
		return formatOCI, nil
	case "v2s2", "docker":
		return formatDocker, nil
	}
	return "", api.Errorf("read format", printable(s), "this is no format of a manifest").WithHint("give oci or v2s2")
}

func (f format) other() format {
	if f == formatOCI {
		return formatDocker
	}
	return formatOCI
}

func (f format) configType() string {
	if f == formatDocker {
		return dockerConfig
	}
	return imgspecv1.MediaTypeImageConfig
}

// layerType is the media type of a layer. Docker's schema has none for zstd.
func (f format) layerType(p packing) string {
	base, dot := imgspecv1.MediaTypeImageLayer, "+"
	if f == formatDocker {
		base, dot = dockerLayer, "."
	}
	if p == packNone {
		return base
	}
	return base + dot + string(p)
}

// build makes the manifest of an image with these layers: the very one that it came
// with if nothing has changed, else that one with other layers if it is of this
// format, else a new one.
func (f format) build(rec image.Record, layers []imgspecv1.Descriptor) ([]byte, error) {
	config := imgspecv1.Descriptor{MediaType: f.configType(), Digest: digest.FromBytes(rec.Config), Size: int64(len(rec.Config))}
	if f != format(rec.MediaType) {
		return json.Marshal(plainManifest{2, string(f), config, layers})
	}
	old, err := parseManifest(rec.Manifest, rec.MediaType)
	if err != nil {
		return nil, err
	}
	same := slices.EqualFunc(old.Layers, layers, func(a, b imgspecv1.Descriptor) bool {
		return a.Digest == b.Digest && a.Size == b.Size && packingOf(a.MediaType) == packingOf(b.MediaType)
	})
	if same {
		return rec.Manifest, nil
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(rec.Manifest, &fields); err != nil {
		return nil, err
	}
	for i := range layers {
		if i < len(old.Layers) && f == formatOCI {
			layers[i].Annotations = old.Layers[i].Annotations
		}
	}
	if fields["layers"], err = json.Marshal(layers); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}
