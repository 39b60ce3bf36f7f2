package view

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/docker/go-units"

	"sbx/api"
)

// Image is what lists of images are made from.
type Image struct {
	ID      string    // hex
	Names   []string  // HOST/NAME:TAG
	Digests []string  // HOST/NAME@sha256:...
	Created time.Time // zero: not known
	Size    int64     // bytes of its layers, uncompressed
	Labels  map[string]string
}

const (
	none        = "<none>"
	imagesUsual = `{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}`
	imagesLong  = `{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}`
	imagesRaw   = `repository: {{.Repository}}\ntag: {{.Tag}}\nimage_id: {{.ID}}\ncreated_at: {{.CreatedAt}}\nvirtual_size: {{.Size}}\n`
)

func imageTitles() header {
	return header{
		"ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST",
		"CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE", "VirtualSize": "VIRTUAL SIZE",
		"Containers": "CONTAINERS", "SharedSize": "SHARED SIZE", "UniqueSize": "UNIQUE SIZE",
	}
}

// Images is docker images: a line for each name of the images that the request
// selects, newest image first. find gives the image of a name in a filter.
//
// The error is an *api.Error and names the filter or the placeholder at fault.
func Images(all []Image, req api.ListImages, find func(name string) (Image, error), now time.Time) (string, error) {
	f, err := parseImageFilter(req, find, now)
	if err != nil {
		return "", err
	}
	s := sheet{titles: imageTitles(), usual: imagesUsual, raw: imagesRaw, quiet: listQuiet}
	if req.Digests {
		s.usual = imagesLong
	}
	quiet := req.Quiet && (req.Format == "" || req.Format == "table")
	var rows []any
	for _, img := range newest(all) {
		names, digests, ok := f.choose(img)
		if !ok {
			continue
		}
		refs := imageRefs(names, digests, req.Digests || namesDigest(req.Format))
		if quiet {
			refs = refs[:1] // an id once, however many names
		}
		for _, ref := range refs {
			rows = append(rows, &imageRow{img: img, ref: ref, trunc: !req.NoTrunc, now: now})
		}
	}
	return s.render(rows, req.Format, req.Quiet)
}

func newest(all []Image) []Image {
	list := slices.Clone(all)
	slices.SortStableFunc(list, func(a, b Image) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	return list
}

// imageRef is one name of an image, as a line of the table shows it.
type imageRef struct{ repo, tag, digest string }

// imageRefs makes lines of the names: one for each tag, with its digests where
// those are wanted, and one for each repository that has a digest only.
// docker/cli cli/command/formatter/image.go, imageFormatTaggedAndDigest.
func imageRefs(names, digests []string, long bool) []imageRef {
	if len(names)+len(digests) == 0 {
		return []imageRef{{none, none, none}}
	}
	byRepo := map[string][]string{}
	for _, d := range digests {
		if ref, ok := parseRef(d).(reference.Canonical); ok {
			repo := reference.FamiliarName(ref)
			byRepo[repo] = append(byRepo[repo], ref.Digest().String())
		}
	}
	var list []imageRef
	tagged := map[string]bool{}
	for _, name := range names {
		ref, ok := parseRef(name).(reference.NamedTagged)
		if !ok {
			continue
		}
		repo := reference.FamiliarName(ref)
		tagged[repo] = true
		if !long || len(byRepo[repo]) == 0 {
			list = append(list, imageRef{repo, ref.Tag(), none})
			continue
		}
		for _, d := range byRepo[repo] {
			list = append(list, imageRef{repo, ref.Tag(), d})
		}
	}
	for repo, digests := range byRepo {
		for i, d := range digests {
			if !tagged[repo] && (long || i == 0) {
				list = append(list, imageRef{repo, none, d})
			}
		}
	}
	slices.SortFunc(list, func(a, b imageRef) int {
		return cmp.Or(cmp.Compare(a.repo, b.repo), cmp.Compare(a.tag, b.tag), cmp.Compare(a.digest, b.digest))
	})
	return list
}

// parseRef gives nil for what is no reference.
func parseRef(name string) reference.Named {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil
	}
	return ref
}

// imageRow is one line of images. Its exported methods are Docker's placeholders.
type imageRow struct {
	img   Image
	ref   imageRef
	trunc bool
	now   time.Time
	disk  *imageDisk // known in system df -v only
}

// imageDisk is what an image takes on the disk.
type imageDisk struct {
	size, shared int64
	sandboxes    int
}

func (r *imageRow) ID() string         { return imageID(r.img.ID, r.trunc) }
func (r *imageRow) Repository() string { return Safe(r.ref.repo) }
func (r *imageRow) Tag() string        { return Safe(r.ref.tag) }
func (r *imageRow) Digest() string     { return Safe(r.ref.digest) }

func (r *imageRow) CreatedSince() string {
	if r.img.Created.IsZero() {
		return "N/A"
	}
	return since(r.img.Created, r.now) + " ago"
}

func (r *imageRow) CreatedAt() string {
	if r.img.Created.IsZero() {
		return "N/A"
	}
	return time.Unix(r.img.Created.Unix(), 0).String()
}

// Size is of the disk where that has been measured.
func (r *imageRow) Size() string {
	if r.disk != nil {
		return HumanSize(r.disk.size)
	}
	return HumanSize(r.img.Size)
}

// VirtualSize is Docker's older word for Size.
func (r *imageRow) VirtualSize() string { return r.Size() }

func (r *imageRow) Containers() string {
	if r.disk == nil {
		return "N/A"
	}
	return strconv.Itoa(r.disk.sandboxes)
}

func (r *imageRow) SharedSize() string {
	if r.disk == nil {
		return "N/A"
	}
	return HumanSize(r.disk.shared)
}

func (r *imageRow) UniqueSize() string {
	if r.disk == nil {
		return "N/A"
	}
	return HumanSize(r.disk.size - r.disk.shared)
}

// MarshalJSON gives the object that docker images --format json prints.
func (r *imageRow) MarshalJSON() ([]byte, error) {
	text, err := encode(map[string]string{
		"Containers": r.Containers(), "CreatedAt": r.CreatedAt(), "CreatedSince": r.CreatedSince(), "Digest": r.ref.digest,
		"ID": r.ID(), "Repository": r.ref.repo, "SharedSize": r.SharedSize(), "Size": r.Size(), "Tag": r.ref.tag,
		"UniqueSize": r.UniqueSize(), "VirtualSize": r.VirtualSize(),
	}, "")
	return []byte(text), err
}

// imageID is an id as Docker shows it: twelve digits, or all with the algorithm.
func imageID(hex string, trunc bool) string {
	if trunc {
		return Safe(shortID(hex))
	}
	return "sha256:" + Safe(hex)
}

// HumanSize has three digits and decimal units: 1.23GB.
func HumanSize(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

// Familiar is a complete name as Docker shows it: docker.io/library/debian:13 is
// debian:13.
func Familiar(name string) string {
	ref := parseRef(name)
	if ref == nil {
		return Safe(name)
	}
	return Safe(reference.FamiliarString(ref))
}

// Tag is the tag of a name as it was typed, latest if it has none, and "" for what
// is no name of an image in a registry, such as oci:DIR.
func Tag(name string) string {
	ref := parseRef(strings.TrimPrefix(name, "docker://"))
	if ref == nil {
		return ""
	}
	if t, ok := reference.TagNameOnly(ref).(reference.Tagged); ok {
		return t.Tag()
	}
	return ""
}
