package build

import (
	"runtime"
	"strings"

	"sbx/api"
	"sbx/image/transfer"
	"sbx/view"
)

// platform is what an image is for.
type platform struct{ os, arch, variant string }

func hostPlatform() platform { return platform{os: runtime.GOOS, arch: runtime.GOARCH} }

// String is os/arch[/variant].
func (p platform) String() string {
	if p.variant != "" {
		return p.os + "/" + p.arch + "/" + p.variant
	}
	return p.os + "/" + p.arch
}

// parsePlatform understands what a pull does. An ARM processor alone is the one that
// BuildKit means.
func parsePlatform(text string) (platform, error) {
	if strings.Contains(text, ",") {
		return platform{}, api.Errorf("build", "", "--platform %s: an image is built for one platform at a time", view.Safe(text)).WithHint("build once for each of them")
	}
	os, arch, variant, err := transfer.ParsePlatform(text)
	if err != nil {
		return platform{}, err
	}
	if arch == "arm" && variant == "" {
		variant = "v7"
	}
	return platform{os: os, arch: arch, variant: variant}, nil
}
