package view

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"sbx/api"
)

// DiskFacts are what system df is made from. Sizes are bytes on the disk.
type DiskFacts struct {
	Images    []ImageDisk
	Layers    int64 // all layers of all images, each once
	Active    int64 // the part of Layers that images with a sandbox have
	Sandboxes []SandboxDisk
	Volumes   []VolumeDisk
	Cache     []CacheDisk
}

// CacheDisk is something that builds have kept.
type CacheDisk struct {
	ID      string // hex
	Type    string // in BuildKit's words: regular, exec.cachemount
	Text    string // what it is of: "RUN make"
	Size    int64  // bytes that would be freed
	Created time.Time
	Used    time.Time // the last time
	Shared  bool      // an image has it too, so that it takes nothing
}

// VolumeDisk is a volume and what it takes.
type VolumeDisk struct {
	Volume
	Disk      int64
	Sandboxes int // that have it
}

// ImageDisk is an image and what it takes.
type ImageDisk struct {
	Image
	Disk      int64 // all its layers
	Shared    int64 // those that another image has, too
	Sandboxes int   // made from it
}

// SandboxDisk is a sandbox and what it has written.
type SandboxDisk struct {
	api.Sandbox
	Disk int64
}

const (
	dfUsual     = `{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}`
	dfImages    = `{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{.SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}`
	dfSandboxes = `{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}`
	dfVolumes   = `{{.Name}}\t{{.Links}}\t{{.Size}}`
	dfCache     = `{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}`
)

// DiskUsage is docker system df.
//
// The error is an *api.Error and names the placeholder at fault.
func DiskUsage(f DiskFacts, req api.DiskUsage, now time.Time) (string, error) {
	if req.Verbose {
		return diskVerbose(f, req.Format, now)
	}
	s := sheet{
		titles: header{"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE"},
		usual:  dfUsual, raw: dfUsual,
	}
	return s.render([]any{
		f.images(), f.sandboxes(),
		f.volumes(), f.cache(),
	}, req.Format, false)
}

// dfRow is one line of system df. Its exported methods are Docker's placeholders.
type dfRow struct {
	kind              string
	total, active     int
	size, reclaimable int64
	percent           bool // of the size, where there is any
}

func (r *dfRow) Type() string       { return r.kind }
func (r *dfRow) TotalCount() string { return strconv.Itoa(r.total) }
func (r *dfRow) Active() string     { return strconv.Itoa(r.active) }
func (r *dfRow) Size() string       { return units.HumanSize(float64(r.size)) }

func (r *dfRow) Reclaimable() string {
	text := units.HumanSize(float64(r.reclaimable))
	if r.percent && r.size > 0 {
		text += fmt.Sprintf(" (%d%%)", r.reclaimable*100/r.size)
	}
	return text
}

// MarshalJSON gives the object that docker system df --format json prints.
func (r *dfRow) MarshalJSON() ([]byte, error) {
	text, err := encode(map[string]string{
		"Type": r.Type(), "TotalCount": r.TotalCount(), "Active": r.Active(), "Size": r.Size(), "Reclaimable": r.Reclaimable(),
	}, "")
	return []byte(text), err
}

func (f DiskFacts) images() *dfRow {
	row := &dfRow{kind: "Images", total: len(f.Images), size: f.Layers, reclaimable: f.Layers - f.Active, percent: true}
	for _, img := range f.Images {
		if img.Sandboxes > 0 {
			row.active++
		}
	}
	return row
}

func (f DiskFacts) sandboxes() *dfRow {
	row := &dfRow{kind: "Containers", total: len(f.Sandboxes), percent: true}
	for _, box := range f.Sandboxes {
		row.size += box.Disk
		if box.Status.Alive() {
			row.active++
		} else {
			row.reclaimable += box.Disk
		}
	}
	return row
}

func (f DiskFacts) volumes() *dfRow {
	row := &dfRow{kind: "Local Volumes", total: len(f.Volumes), percent: true}
	for _, v := range f.Volumes {
		row.size += v.Disk
		if v.Sandboxes > 0 {
			row.active++
		} else {
			row.reclaimable += v.Disk
		}
	}
	return row
}

func (f DiskFacts) cache() *dfRow {
	row := &dfRow{kind: "Build Cache", total: len(f.Cache)}
	for _, c := range f.Cache {
		row.size += c.Size
	}
	row.reclaimable = row.size
	return row
}

// dfBoxRow is a row of ps with the size that has been measured.
type dfBoxRow struct {
	*row
	disk int64
}

func (r dfBoxRow) Size() string { return HumanSize(r.disk) }

// MarshalJSON is that of ps, but for the size.
func (r dfBoxRow) MarshalJSON() ([]byte, error) { return r.marshal(r.Size()) }

// diskVerbose is system df -v: a table of each kind. A template is executed on all
// of them at once: {{range .Images}}.
func diskVerbose(f DiskFacts, format string, now time.Time) (string, error) {
	var images, sandboxes, volumes, cache []any
	for _, img := range f.Images {
		for _, ref := range imageRefs(img.Names, img.Digests, false) {
			images = append(images, &imageRow{
				img: img.Image, ref: ref, trunc: true, now: now,
				disk: &imageDisk{size: img.Disk, shared: img.Shared, sandboxes: img.Sandboxes},
			})
		}
	}
	for i := range f.Sandboxes {
		box := &f.Sandboxes[i]
		sandboxes = append(sandboxes, dfBoxRow{row: &row{box: &box.Sandbox, trunc: true, now: now}, disk: box.Disk})
	}
	for i := range f.Volumes {
		v := &f.Volumes[i]
		volumes = append(volumes, &volumeRow{v: &v.Volume, measured: true, disk: v.Disk, links: v.Sandboxes})
	}
	for i := range f.Cache {
		cache = append(cache, &cacheRow{&f.Cache[i], now})
	}
	if format != "" && format != "table" {
		return renderOne(map[string][]any{
			"Images": orEmpty(images), "Containers": orEmpty(sandboxes), "Volumes": orEmpty(volumes), "BuildCache": orEmpty(cache),
		}, strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format))
	}
	first, err := sheet{titles: imageTitles(), usual: dfImages}.render(images, "", false)
	if err != nil {
		return "", err
	}
	second, err := sheet{titles: newHeader(), usual: dfSandboxes}.render(sandboxes, "", false)
	if err != nil {
		return "", err
	}
	third, err := sheet{titles: volumeTitles(), usual: dfVolumes}.render(volumes, "", false)
	if err != nil {
		return "", err
	}
	fourth, err := sheet{titles: cacheTitles(), usual: dfCache}.render(cache, "", false)
	if err != nil {
		return "", err
	}
	return "Images space usage:\n\n" + first + "\nContainers space usage:\n\n" + second +
		"\nLocal Volumes space usage:\n\n" + third + "\nBuild cache usage: " + f.cache().Size() + "\n\n" + fourth, nil
}

func orEmpty(list []any) []any {
	if list == nil {
		return []any{}
	}
	return list
}
