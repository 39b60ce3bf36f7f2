package image

import (
	"encoding/json"
	"time"
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
	Created      time.Time `json:"created"`
	Architecture string    `json:"architecture"`
	OS           string    `json:"os"`
	Config       Config    `json:"config"`
	RootFS       rootFS    `json:"rootfs"`
	History      []history `json:"history,omitempty"`
}

type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

type history struct {
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by,omitempty"`
	Comment   string    `json:"comment,omitempty"`
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
