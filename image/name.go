package image

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/distribution/reference"

	"sbx/api"
)

// normalise completes a name as Docker does: debian is
// docker.io/library/debian:latest.
func normalise(name string) (reference.Named, error) {
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return nil, err
	}
	return reference.TagNameOnly(ref), nil
}

// newName is the normalised form of a name to give to an image.
func newName(name string) (string, error) {
	const op = "name image"
	ref, err := normalise(name)
	if err != nil {
		return "", badName(op, name, err.Error())
	}
	if _, digested := ref.(reference.Digested); digested {
		return "", badName(op, name, "a name cannot have a digest")
	}
	if name == api.HostImage {
		return "", api.Errorf(op, name, "this name stands for the host's own file system").
			WithHint("give it another name, or a tag")
	}
	if use := ours(ref.String()); use != "" {
		return "", api.Errorf(op, name, "names like this are for %s", use).WithHint("give it another name")
	}
	return ref.String(), nil
}

// ours says what the store itself uses a name for, if it does.
func ours(name string) string {
	switch {
	case strings.HasPrefix(name, pending):
		return "images that are being made"
	case strings.HasPrefix(name, held):
		return "layers that the build cache keeps"
	}
	return ""
}

func badName(op, name, why string) *api.Error {
	return api.Errorf(op, printable(name), "%s", plain(why)).
		WithHint("a name is [HOST/]NAME[:TAG], with lower-case letters, digits and . _ - / in NAME")
}

// plain takes out of a message what would do something to a terminal.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// printable quotes what would do something to a terminal.
func printable(s string) string {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return strconv.Quote(s)
		}
	}
	return s
}
