package image

import (
	"encoding/json"
	"time"

	"github.com/opencontainers/go-digest"
)

// metadata is what is kept beside an image in the field that the storage library
// leaves to its callers. Other programs keep other things there: what is not
// known is not touched.
type metadata struct {
	Tagged    time.Time       `json:"sbx-tagged,omitzero"`
	Digests   []digest.Digest `json:"sbx-digests,omitempty"`    // of lists that the image was chosen from
	MediaType string          `json:"sbx-media-type,omitempty"` // of the manifest
}

// readMetadata takes what it does not understand for nothing: it only adds to
// what inspect shows, and to the digests an image is found by.
func readMetadata(text string) metadata {
	var m metadata
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return metadata{}
	}
	return m
}

// update gives text with the facts of m, and everything else as it was.
func (m metadata) update(text string) (string, error) {
	all := map[string]json.RawMessage{}
	if text != "" {
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			return "", err
		}
	}
	ours, err := json.Marshal(m)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(ours, &all); err != nil {
		return "", err
	}
	merged, err := json.Marshal(all)
	return string(merged), err
}
