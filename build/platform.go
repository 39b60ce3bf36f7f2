package build

import (
	"runtime"
	"strings"

	"sbx/api"
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

// parsePlatform understands os/arch[/variant], and an arch alone.
func parsePlatform(text string) (platform, error) {
	parts := strings.Split(strings.ToLower(text), "/")
	if len(parts) == 1 {
		parts = []string{"linux", parts[0]}
	}
	if len(parts) > 3 || strings.Trim(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") != "" {
		return platform{}, api.Errorf("build", "", "the platform %q is not of the form os/arch[/variant]", text).WithHint("for example linux/arm64")
	}
	for _, part := range parts {
		if part == "" {
			return platform{}, api.Errorf("build", "", "the platform %q is not of the form os/arch[/variant]", text).WithHint("for example linux/arm64")
		}
	}
	p := platform{os: parts[0], arch: parts[1]}
	if len(parts) == 3 {
		p.variant = parts[2]
	}
	switch p.arch {
	case "x86_64", "x86-64":
		p.arch = "amd64"
	case "aarch64":
		p.arch = "arm64"
	case "i386", "i686", "x86":
		p.arch = "386"
	}
	if p.arch == "arm64" && p.variant == "v8" || p.arch == "amd64" && p.variant == "v1" {
		p.variant = ""
	}
	return p, nil
}

// runs says that programs of the platform can be executed here.
func (p platform) runs() bool {
	host := hostPlatform()
	return p.os == host.os && (p.arch == host.arch || host.arch == "amd64" && p.arch == "386" || host.arch == "arm64" && p.arch == "arm")
}
