package image

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// Image is one image of the store. It is shared: do not change what it points to.
type Image struct {
	ID      string    // sha256 of the configuration, hex
	Names   []string  // normalised: docker.io/library/debian:latest; empty when untagged
	Created time.Time // as the configuration says
	// Layers are the names of the short links in overlay/l under the graph root,
	// top first, as the lowerdir option of overlay wants them.
	Layers []string
	Config Config
	Size   int64 // bytes of all layers, uncompressed

	Digest      string   // of the manifest: sha256:...
	RepoDigests []string // HOST/NAME@DIGEST for each repository it has a name in

	Architecture  string // as the configuration has it: amd64
	Variant       string // v8
	OS            string
	OSVersion     string
	Author        string
	Comment       string
	DockerVersion string          // that has made it
	History       []History       // bottom first
	DiffIDs       []digest.Digest // of the layers, bottom first
	LayerIDs      []string        // in the store, bottom first
	LayerSizes    []int64         // bytes, uncompressed, bottom first
	Tagged        time.Time       // when it last got a name by Tag; zero: never
}

// Tags are the names with a tag. The other ones have a digest.
func (img Image) Tags() []string {
	var list []string
	for _, name := range img.Names {
		if !strings.Contains(name, "@") {
			list = append(list, name)
		}
	}
	return list
}

// History is one step in the making of an image. One that is not Empty has made
// the next layer.
type History struct {
	Created   time.Time `json:"created,omitzero"`
	CreatedBy string    `json:"created_by,omitempty"`
	Author    string    `json:"author,omitempty"`
	Comment   string    `json:"comment,omitempty"`
	Empty     bool      `json:"empty_layer,omitempty"`
}

// Config is the "config" object of an image configuration: the OCI fields, and
// the ones Docker adds.
type Config struct {
	User         string              `json:"User,omitempty"`
	ExposedPorts map[string]struct{} `json:"ExposedPorts,omitempty"` // "80/tcp"
	Env          []string            `json:"Env,omitempty"`          // KEY=value
	Entrypoint   []string            `json:"Entrypoint,omitempty"`
	Cmd          []string            `json:"Cmd,omitempty"`
	Volumes      map[string]struct{} `json:"Volumes,omitempty"`
	WorkDir      string              `json:"WorkingDir,omitempty"`
	Labels       map[string]string   `json:"Labels,omitempty"`
	StopSignal   string              `json:"StopSignal,omitempty"`
	Healthcheck  json.RawMessage     `json:"Healthcheck,omitempty"` // as stored
	Shell        []string            `json:"Shell,omitempty"`
	OnBuild      []string            `json:"OnBuild,omitempty"`
}

// document is a whole image configuration, as far as it is made or used here.
// https://github.com/opencontainers/image-spec/blob/v1.1.1/config.md
type document struct {
	Created       time.Time `json:"created"`
	Author        string    `json:"author,omitempty"`
	DockerVersion string    `json:"docker_version,omitempty"`
	Architecture  string    `json:"architecture"`
	Variant       string    `json:"variant,omitempty"`
	OS            string    `json:"os"`
	OSVersion     string    `json:"os.version,omitempty"`
	Comment       string    `json:"comment,omitempty"` // Docker's
	Config        Config    `json:"config"`
	RootFS        rootFS    `json:"rootfs"`
	History       []History `json:"history,omitempty"`

	// Cache is what builds may take of the image's layers, see image/transfer.
	Cache json.RawMessage `json:"sbx.buildcache.v1,omitempty"`
}

type rootFS struct {
	Type    string          `json:"type"`
	DiffIDs []digest.Digest `json:"diff_ids"`
}

// manifest is an OCI image manifest.
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// Media types of image-spec v1.1.
const (
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaLayer    = "application/vnd.oci.image.layer.v1.tar"
)
