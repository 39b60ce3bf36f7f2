package sandbox

import (
	"context"

	"sbx/api"
	"sbx/view"
)

// diff lists what a sandbox has changed of its image.
func (c *conversation) diff(r *api.Diff) error {
	if err := view.DiffFormat(r.Format); err != nil {
		return err
	}
	text := ""
	err := c.withUpper(api.VerbDiff, r.Name, func(ctx context.Context, u *upper) error {
		list, err := marksOf(&u.h.config).Diff(ctx, u.dir, u.lower)
		if err != nil {
			return err
		}
		text, err = view.Diff(func(yield func(kind byte, path string) bool) {
			for i := range list {
				if !yield(byte(list[i].Kind), list[i].Path) {
					return
				}
			}
		}, r.Format)
		return err
	})
	if err != nil {
		return err
	}
	return c.done(text)
}
