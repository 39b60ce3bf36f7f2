package view

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/distribution/reference"

	"sbx/api"
)

// imageFilter is the --filter flags of images, parsed. Patterns are alternatives;
// everything else must agree.
type imageFilter struct {
	dangling      *bool
	labels        []string
	patterns      []string
	before, since []time.Time // the image was made before, or after
}

func parseImageFilter(req api.ListImages, find func(string) (Image, error), now time.Time) (*imageFilter, error) {
	f := &imageFilter{}
	if req.Name != "" {
		f.patterns = append(f.patterns, req.Name)
	}
	if err := eachFilter(req.Filters, func(key, value string) error { return f.add(key, value, find, now) }); err != nil {
		return nil, err
	}
	for _, p := range f.patterns {
		if _, err := path.Match(p, ""); err != nil {
			return nil, filterError("reference="+p, "the pattern is broken: "+err.Error())
		}
	}
	return f, nil
}

func (f *imageFilter) add(key, value string, find func(string) (Image, error), now time.Time) error {
	switch key {
	case "dangling":
		b, err := strconv.ParseBool(value)
		if err != nil {
			return filterError("dangling="+value, "it is true or false")
		}
		f.dangling = &b
	case "label":
		f.labels = append(f.labels, value)
	case "reference":
		f.patterns = append(f.patterns, value)
	case "before", "since":
		img, err := find(value)
		if err != nil {
			return err
		}
		if key == "before" {
			f.before = append(f.before, img.Created)
		} else {
			f.since = append(f.since, img.Created)
		}
	case "until":
		t, err := ParseUntil(value, now)
		if err != nil {
			return err
		}
		f.before = append(f.before, t)
	default:
		return filterError(key+"="+value, "no such filter").
			WithHint("filters are before, dangling, label, reference, since, until")
	}
	return nil
}

// choose says whether an image is shown, and with which names.
func (f *imageFilter) choose(img Image) (names, digests []string, ok bool) {
	if f.dangling != nil && *f.dangling != (len(img.Names)+len(img.Digests) == 0) {
		return nil, nil, false
	}
	for _, label := range f.labels {
		key, value, valued := strings.Cut(label, "=")
		if got, ok := img.Labels[key]; !ok || valued && got != value {
			return nil, nil, false
		}
	}
	for _, t := range f.before {
		if !img.Created.Before(t) {
			return nil, nil, false
		}
	}
	for _, t := range f.since {
		if !img.Created.After(t) {
			return nil, nil, false
		}
	}
	if len(f.patterns) == 0 {
		return img.Names, img.Digests, true
	}
	names, digests = f.matching(img.Names, nil), f.matching(img.Digests, nil)
	// The digests of a repository go with its tags.
	if len(names) > 0 {
		digests = append(digests, f.matching(img.Digests, names)...)
	}
	slices.Sort(digests)
	return names, slices.Compact(digests), len(names)+len(digests) > 0
}

// matching are the names that a pattern fits, or that are of the repository of one
// of with.
func (f *imageFilter) matching(names, with []string) []string {
	repos := map[string]bool{}
	for _, name := range with {
		repos[parseRef(name).Name()] = true
	}
	var list []string
	for _, name := range names {
		ref := parseRef(name)
		if ref == nil {
			continue
		}
		if repos[ref.Name()] || with == nil && slices.ContainsFunc(f.patterns, func(p string) bool { return matchName(p, ref) }) {
			list = append(list, name)
		}
	}
	return list
}

// matchName takes a pattern as Docker does, debian*, or a name in any form that a
// command takes: docker.io/library/debian, or tool for localhost/tool.
func matchName(pattern string, ref reference.Named) bool {
	if ok, err := reference.FamiliarMatch(pattern, ref); ok && err == nil {
		return true
	}
	want := parseRef(pattern)
	if want == nil {
		return false
	}
	repo := ref.Name()
	if local, ok := strings.CutPrefix(repo, "localhost/"); ok && reference.FamiliarName(want) == local && !strings.HasPrefix(pattern, "docker.io/") {
		repo = want.Name()
	}
	switch want := want.(type) {
	case reference.Canonical:
		got, ok := ref.(reference.Canonical)
		return ok && repo == want.Name() && got.Digest() == want.Digest()
	case reference.NamedTagged:
		got, ok := ref.(reference.NamedTagged)
		return ok && repo == want.Name() && got.Tag() == want.Tag()
	}
	return repo == want.Name()
}

// namesDigest says that a template shows digests.
func namesDigest(format string) bool { return strings.Contains(format, ".Digest}}") }
