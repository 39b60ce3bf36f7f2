package build

import (
	"encoding/csv"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sbx/api"
	"sbx/image/transfer"
	"sbx/view"
)

// Words of --cache-from and --cache-to, as BuildKit has them.
const (
	cacheRegistry = "registry"
	cacheLocal    = "local"
	cacheInline   = "inline"
)

// cacheForms is what there is to choose from.
const (
	cacheFromForms = "there are --cache-from NAME, type=registry,ref=NAME and type=local,src=DIR[,tag=TAG]"
	cacheToForms   = "there are --cache-to NAME, type=registry,ref=NAME, type=local,dest=DIR[,tag=TAG] (each with mode=min|max, " +
		"compression=gzip|zstd, compression-level=N and ignore-error=true) and type=inline"
)

// cachePlace is one --cache-from or --cache-to.
type cachePlace struct {
	transfer.CachePlace
	transfer.CacheOptions
	kind  string
	all   bool // mode=max: layers that the result does not have, too
	spare bool // ignore-error: the build goes on without
}

// cachePlaces reads what was typed. Paths are relative to dir.
func cachePlaces(flag, forms, dir string, texts []string) ([]cachePlace, error) {
	var list []cachePlace
	for _, text := range texts {
		p, err := newCachePlace(flag, forms, dir, text)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

func newCachePlace(flag, forms, dir, text string) (cachePlace, error) {
	refuse := func(why string) (cachePlace, error) {
		return cachePlace{}, api.Errorf("build", "", "%s %s: %s", flag, view.Safe(text), view.Safe(why)).WithHint("%s", forms)
	}
	fields, err := csv.NewReader(strings.NewReader(text)).Read()
	if err != nil {
		return refuse("it is no list of NAME=VALUE with commas")
	}
	words := map[string]string{}
	for _, field := range fields {
		name, value, ok := strings.Cut(field, "=")
		if !ok && len(fields) == 1 {
			words["type"], words["ref"] = cacheRegistry, field // Docker's short form
			continue
		}
		if !ok {
			return refuse(field + " has no =")
		}
		words[strings.ToLower(name)] = value
	}
	to := flag == "--cache-to"
	path := "src"
	if to {
		path = "dest"
	}
	p := cachePlace{kind: words["type"]}
	var known []string
	switch {
	case p.kind == cacheRegistry:
		known = []string{"ref"}
		p.Ref = words["ref"]
		if p.Ref == "" {
			return refuse("ref is missing")
		}
	case p.kind == cacheLocal:
		known = []string{path, "tag"}
		if words[path] == "" {
			return refuse(path + " is missing")
		}
		p.Dir, p.Tag = filepath.Join(dir, words[path]), words["tag"]
		if filepath.IsAbs(words[path]) {
			p.Dir = filepath.Clean(words[path])
		}
	case p.kind == cacheInline && to:
	case p.kind == cacheInline:
		return refuse("give the name of the image that has it")
	default:
		return refuse("there is no type " + p.kind)
	}
	if to {
		known = append(known, "mode", "compression", "compression-level", "ignore-error", "oci-mediatypes", "image-manifest")
	}
	for name := range words {
		if name != "type" && !slices.Contains(known, name) {
			return refuse(name + " is not known")
		}
	}
	if why := p.options(words); why != "" {
		return refuse(why)
	}
	return p, nil
}

// options reads what a --cache-to may have. The result says what is wrong with it.
func (p *cachePlace) options(words map[string]string) string {
	switch mode := words["mode"]; {
	case mode == "", mode == "min":
	case mode == "max" && p.kind != cacheInline:
		p.all = true
	case mode == "max":
		return "an image carries its own layers only: mode=min"
	default:
		return "mode " + mode + " is not known"
	}
	switch p.Compression = words["compression"]; p.Compression {
	case "", "gzip", "zstd":
	default:
		return "there is no compression " + p.Compression
	}
	if text := words["compression-level"]; text != "" {
		level, err := strconv.Atoi(text)
		if err != nil {
			return "compression-level " + text + " is no number"
		}
		p.Level = &level
	}
	if p.kind == cacheInline && (p.Compression != "" || p.Level != nil) {
		return "its layers are compressed when the image is pushed"
	}
	for name, to := range map[string]*bool{"ignore-error": &p.spare, "oci-mediatypes": nil, "image-manifest": nil} {
		text, given := words[name]
		if !given {
			continue
		}
		value, err := strconv.ParseBool(text)
		if err != nil {
			return name + " is true or false, not " + text
		}
		if to != nil {
			*to = value
		} else if !value {
			return name + "=false: a cache is an OCI image manifest"
		}
	}
	return ""
}

// readCaches reads --cache-from and --cache-to, and Docker's other word for the latter.
func (j *job) readCaches() (err error) {
	r := j.r
	if j.cacheFrom, err = cachePlaces("--cache-from", cacheFromForms, r.Dir, r.CacheFrom); err != nil {
		return err
	}
	to := slices.Clone(r.CacheTo)
	if on, err := strconv.ParseBool(r.Args["BUILDKIT_INLINE_CACHE"]); err == nil && on {
		to = append(to, "type="+cacheInline)
	}
	if j.cacheTo, err = cachePlaces("--cache-to", cacheToForms, r.Dir, to); err != nil {
		return err
	}
	for _, p := range j.cacheTo {
		switch {
		case p.kind != cacheInline:
		case r.Squash:
			return api.Errorf("build", "", "--cache-to type=inline and --squash: the image has no layers of steps").WithHint("leave one out, or give --cache-to type=registry,ref=NAME")
		case r.Output.Type == api.OutputLocal || r.Output.Type == api.OutputTar:
			return api.Errorf("build", "", "--cache-to type=inline and -o type=%s: there is no image to carry the cache", r.Output.Type).WithHint("give --cache-to type=registry,ref=NAME")
		default:
			j.inline = true
		}
	}
	return nil
}
