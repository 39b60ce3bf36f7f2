package doctor

import (
	"context"
	"encoding/json"
	"os"

	"sbx/api"
	"sbx/fuse-overlay"
	"sbx/image"
	"sbx/internal/dirs"
)

// Unfit says why images cannot be kept below the directory data, found out by making
// files there with the ids that a supervisor would have; nil: they can. It is not tried
// where there are no namespaces to find out in.
func Unfit(ctx context.Context, data string) (tried bool, wrong error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dir := dirs.Dirs{Data: data}.Doctor()
	unlock, err := own(dir)
	if err != nil {
		return true, err
	}
	defer unlock()
	var why *api.Error
	if _, entered, err := enter(ctx, &why, roleStoreSpaces, dir); !entered || err != nil {
		return false, err
	}
	if why != nil {
		return true, why
	}
	return true, nil
}

// tryStore runs as uid 0 of the namespaces, and prints what is wrong, or null. What the
// kernel cannot mount there fuse-overlayfs can.
func tryStore(dir string) error {
	if err := settle(); err != nil {
		return err
	}
	err := image.Unfit(dir)
	if err == nil {
		var wrong error
		if wrong, err = fuseoverlay.Try(dir); err == nil && wrong != nil {
			if _, missing := fuseoverlay.Find(); missing != nil {
				err = wrong
			}
		}
	}
	var why *api.Error
	if err != nil {
		why = api.Wrap("keep images in", dir, err)
	}
	return json.NewEncoder(os.Stdout).Encode(why)
}
