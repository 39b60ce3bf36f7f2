package sandbox

import (
	"slices"
	"strings"

	"sbx/api"
)

// complete lists names for the shell: of sandboxes, or as the request says of
// "images", "repositories", "networks" or "volumes".
func (c *conversation) complete(r *api.Names) error {
	kind := ""
	if len(r.Names) > 0 {
		kind = r.Names[0]
	}
	var list []string
	switch kind {
	case "":
		for _, b := range c.s.sandboxes() {
			list = append(list, b.Config.Name)
		}
		return c.done(lines(list))
	case "volumes":
		_, all, err := c.s.knownVolumes()
		if err != nil {
			return err
		}
		for _, v := range all {
			list = append(list, v.Name)
		}
		return c.done(lines(list))
	case "networks":
		n, err := c.s.network()
		if err != nil {
			return err
		}
		for _, net := range n.swtch.Networks() {
			list = append(list, net.Name)
		}
		return c.done(lines(list))
	}
	store, err := c.s.images()
	if err != nil {
		return err
	}
	images, err := store.List()
	if err != nil {
		return err
	}
	for _, img := range images {
		for _, name := range img.Tags() {
			name = strings.TrimPrefix(strings.TrimPrefix(name, "docker.io/"), "library/")
			if kind == "repositories" {
				name = name[:strings.LastIndexByte(name, ':')]
			}
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return c.done(lines(slices.Compact(list)))
}

func lines(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return strings.Join(list, "\n") + "\n"
}
