package view

import (
	"encoding/json"
	"path/filepath"
	"time"

	"github.com/distribution/reference"
)

// ImageFacts is everything about an image.
type ImageFacts struct {
	Image
	Author, Comment string
	DockerVersion   string
	Architecture    string
	Variant         string
	OS, OSVersion   string
	Config          ImageConfig
	DiffIDs         []string  // sha256:..., bottom first
	LayerDirs       []string  // where the layers' files lie, bottom first
	Tagged          time.Time // zero: never
}

// ImageConfig is what the image says about the program.
type ImageConfig struct {
	User         string
	ExposedPorts map[string]struct{}
	Env          []string
	Entrypoint   []string
	Cmd          []string
	Volumes      map[string]struct{}
	WorkDir      string
	Labels       map[string]string
	StopSignal   string
	Healthcheck  json.RawMessage
	Shell        []string
	OnBuild      []string
}

// imageObject is what docker image inspect prints, with the names and the order of
// Docker's API.
type imageObject struct {
	ID            string `json:"Id"`
	RepoTags      []string
	RepoDigests   []string
	Parent        string
	Comment       string
	Created       string `json:",omitempty"`
	DockerVersion string
	Author        string
	Config        imageConfig
	Architecture  string
	Variant       string `json:",omitempty"`
	Os            string
	OsVersion     string `json:",omitempty"`
	Size          int64
	VirtualSize   int64
	GraphDriver   graphDriver
	RootFS        imageRootFS
	Metadata      imageMetadata
}

// Id lets templates use the name that the JSON has. Docker takes both.
func (i imageObject) Id() string { return i.ID }

type imageConfig struct {
	Hostname     string
	Domainname   string
	User         string
	AttachStdin  bool
	AttachStdout bool
	AttachStderr bool
	ExposedPorts map[string]struct{} `json:",omitempty"`
	Tty          bool
	OpenStdin    bool
	StdinOnce    bool
	Env          []string
	Cmd          []string
	Healthcheck  any `json:",omitempty"`
	Image        string
	Volumes      map[string]struct{}
	WorkingDir   string
	Entrypoint   []string
	OnBuild      []string
	Labels       map[string]string
	StopSignal   string   `json:",omitempty"`
	Shell        []string `json:",omitempty"`
}

type imageRootFS struct {
	Type   string
	Layers []string
}

type imageMetadata struct{ LastTagTime string }

func newImageObject(f ImageFacts) imageObject {
	out := imageObject{
		ID:            "sha256:" + f.ID,
		RepoTags:      familiarNames(f.Names),
		RepoDigests:   familiarNames(f.Digests),
		Comment:       f.Comment,
		DockerVersion: f.DockerVersion,
		Author:        f.Author,
		Config: imageConfig{
			User: f.Config.User, ExposedPorts: f.Config.ExposedPorts, Env: f.Config.Env, Cmd: f.Config.Cmd,
			Volumes: f.Config.Volumes, WorkingDir: f.Config.WorkDir, Entrypoint: f.Config.Entrypoint,
			OnBuild: f.Config.OnBuild, Labels: f.Config.Labels, StopSignal: f.Config.StopSignal, Shell: f.Config.Shell,
		},
		Architecture: f.Architecture,
		Variant:      f.Variant,
		Os:           f.OS,
		OsVersion:    f.OSVersion,
		Size:         f.Size,
		VirtualSize:  f.Size,
		GraphDriver:  graphDriver{Name: "overlay", Data: layerData(f.LayerDirs)},
		RootFS:       imageRootFS{Type: "layers", Layers: f.DiffIDs},
		Metadata:     imageMetadata{LastTagTime: f.Tagged.Format(time.RFC3339Nano)},
	}
	if !f.Created.IsZero() {
		out.Created = stamp(f.Created)
	}
	// Decoded, so that a template can look into it. What is no JSON is not shown.
	if err := json.Unmarshal(f.Config.Healthcheck, &out.Config.Healthcheck); err != nil {
		out.Config.Healthcheck = nil
	}
	return out
}

// layerData names the directories as Docker does: the top layer is the upper one.
func layerData(dirs []string) map[string]string {
	data := map[string]string{}
	lower := ""
	for i, dir := range dirs {
		switch {
		case i == len(dirs)-1:
			data["UpperDir"] = dir
			data["WorkDir"] = filepath.Join(filepath.Dir(dir), "work")
		case lower == "":
			lower = dir
		default:
			lower = dir + ":" + lower
		}
	}
	if lower != "" {
		data["LowerDir"] = lower
	}
	return data
}

func familiarNames(names []string) []string {
	list := []string{}
	for _, name := range names {
		if ref := parseRef(name); ref != nil {
			list = append(list, reference.FamiliarString(ref))
		}
	}
	return list
}
