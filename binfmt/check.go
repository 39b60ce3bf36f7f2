package binfmt

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"sbx/api"
	"sbx/internal/remedy"
)

// Check says for which processors programs are executed in this user namespace, which
// should be one that nobody else is in. That there is no emulation is no fault.
func Check(ctx context.Context) api.Finding {
	const name, lost = "other processors", "images for other processors do not run"
	all := slices.Sorted(maps.Keys(machines))
	runs := slices.DeleteFunc(slices.Clone(all), func(arch string) bool { return Try(ctx, arch) != nil })
	installed := slices.ContainsFunc(all, func(arch string) bool {
		path, _ := emulator(arch)
		return path != "" && !slices.Contains(runs, arch)
	})
	f := api.Finding{Name: name, Level: api.Green, What: strings.Join(runs, ", ")}
	if !installed {
		if len(runs) < len(all) {
			f.What += "; " + remedy.Emulator("qemu-aarch64").Text + " for others"
		}
		return f
	}
	if err := registerAll(ctx); errors.Is(err, fs.ErrPermission) {
		return api.Lacking(api.Yellow, name, err, lost, remedy.Binfmt())
	} else if err != nil {
		return api.Lacking(api.Yellow, name, err, lost, api.Remedy{})
	}
	runs = slices.DeleteFunc(all, func(arch string) bool { return Try(ctx, arch) != nil })
	f.What = strings.Join(runs, ", ")
	return f
}
