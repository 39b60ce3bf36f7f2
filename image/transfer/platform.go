package transfer

import (
	"cmp"
	"runtime"
	"slices"
	"strings"

	imgspecv1 "github.com/opencontainers/image-spec/specs-go/v1"

	"sbx/api"
)

// platform is what an image was made for, in Go's words.
type platform struct{ os, arch, variant string }

func hostPlatform() platform { return platform{os: runtime.GOOS, arch: runtime.GOARCH} }

func (p platform) String() string {
	s := p.os + "/" + p.arch
	if p.variant != "" {
		s += "/" + p.variant
	}
	return s
}

// processors are Go's words for those that there are images for, and systems for
// operating systems: what a platform of one word may be.
var (
	processors = []string{"386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64", "s390x", "wasm"}
	systems    = []string{"darwin", "freebsd", "linux", "windows"}
)

// ParsePlatform understands os/arch[/variant], and as Docker does os or arch alone. What
// comes back is in Go's words.
func ParsePlatform(s string) (os, arch, variant string, err error) {
	p, err := parsePlatform(s)
	return p.os, p.arch, p.variant, err
}

func parsePlatform(s string) (platform, error) {
	parts := strings.Split(strings.ToLower(s), "/")
	alone := len(parts) == 1
	if alone && slices.Contains(systems, parts[0]) {
		parts = []string{parts[0], runtime.GOARCH}
	} else if alone {
		parts = []string{"linux", parts[0]}
	}
	e := api.Errorf("read platform", printable(s), "it is not of the form os/arch[/variant]").
		WithHint("for example --platform linux/arm64")
	if len(parts) > 3 || slices.Contains(parts, "") || strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") != "" {
		return platform{}, e
	}
	p := platform{os: parts[0], arch: parts[1]}
	if len(parts) == 3 {
		p.variant = parts[2]
	}
	p = p.normal()
	if alone && !slices.Contains(processors, p.arch) {
		e.Msg = "no processor is known by that name"
		return platform{}, e
	}
	return p, nil
}

// normal takes uname's words for Go's, and drops the variant that is the only one.
func (p platform) normal() platform {
	switch p.arch {
	case "x86_64", "x86-64":
		p.arch = "amd64"
	case "aarch64":
		p.arch = "arm64"
	case "i386", "i686", "x86":
		p.arch = "386"
	case "armhf":
		p.arch, p.variant = "arm", cmp.Or(p.variant, "v7")
	case "armel":
		p.arch, p.variant = "arm", cmp.Or(p.variant, "v6")
	}
	switch {
	case p.arch == "arm64" && (p.variant == "v8" || p.variant == "8"),
		p.arch == "amd64" && p.variant == "v1":
		p.variant = ""
	case p.arch == "arm" && len(p.variant) == 1:
		p.variant = "v" + p.variant
	}
	return p
}

// rank says how well an image for p runs where want is wished: 0 is best, negative
// not at all. A variant is a set of instructions: an image for a lower one runs, for
// a higher one it may not.
func (p platform) rank(want platform) int {
	p, want = p.normal(), want.normal()
	switch {
	case p.os != want.os || p.arch != want.arch:
		return -1
	case p.variant == want.variant:
		return 0
	case p.variant == "":
		return 9
	}
	ceiling := want.variant
	if ceiling == "" && p.arch == "arm" {
		ceiling = "v7"
	}
	if len(p.variant) != len(ceiling) || p.variant > ceiling {
		return -1
	}
	return 1 + int(ceiling[len(ceiling)-1]) - int(p.variant[len(p.variant)-1])
}

// choose takes from a list the image that fits want best.
func choose(list []imgspecv1.Descriptor, want platform) (imgspecv1.Descriptor, error) {
	best, found := -1, []string{}
	var chosen imgspecv1.Descriptor
	for _, d := range list {
		if d.Platform == nil || d.Platform.OS == "unknown" {
			continue // an attestation, or anything
		}
		has := platform{d.Platform.OS, d.Platform.Architecture, d.Platform.Variant}
		if r := has.rank(want); r >= 0 && (best < 0 || r < best) {
			best, chosen = r, d
		}
		if s := has.String(); !slices.Contains(found, s) {
			found = append(found, s)
		}
	}
	if best >= 0 {
		return chosen, nil
	}
	if len(found) == 0 && len(list) == 1 {
		return list[0], nil
	}
	there := "none at all"
	if len(found) > 0 {
		slices.Sort(found)
		there = strings.Join(found, ", ")
	}
	return chosen, api.Errorf("choose platform", want.String(), "the image is not made for it; there is %s", clean(there)).
		WithHint("give one of these with --platform")
}
