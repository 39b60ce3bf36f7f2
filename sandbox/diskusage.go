package sandbox

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/internal/sys"
	"sbx/view"
)

// diskUsage is system df.
func (c *conversation) diskUsage(r *api.DiskUsage) error {
	facts, err := c.s.disk()
	if err != nil {
		return err
	}
	text, err := view.DiskUsage(facts, *r, time.Now())
	if err != nil {
		return err
	}
	return c.done(text)
}

func (s *Supervisor) disk() (view.DiskFacts, error) {
	var facts view.DiskFacts
	store, err := s.images()
	if err != nil {
		return facts, err
	}
	usage, err := store.Usage()
	if err != nil {
		return facts, err
	}
	users := map[string]int{}
	for _, box := range s.sandboxes() {
		for _, id := range imageIDs(&box.Config) {
			users[id]++
		}
		// Its directory as a whole: the log is freed with it as well.
		n, err := sys.DiskUsage(box.Dir)
		if errors.Is(err, unix.ENOENT) {
			continue // it has just gone
		}
		if err != nil {
			return facts, api.Wrap("measure sandbox", box.Config.Name, err)
		}
		facts.Sandboxes = append(facts.Sandboxes, view.SandboxDisk{Sandbox: box, Disk: n})
	}
	if facts.Volumes, err = s.volumeDisk(); err != nil {
		return facts, err
	}
	active := map[string]bool{}
	for _, img := range usage.Images {
		active[img.ID] = users[img.ID] > 0
		facts.Images = append(facts.Images, view.ImageDisk{
			Image: listed(img.Image), Disk: img.Disk, Shared: img.Shared, Sandboxes: users[img.ID],
		})
	}
	facts.Layers, facts.Active = usage.Total, usage.Of(active)
	if s.Cache != nil {
		facts.Cache, err = s.Cache(store)
	}
	return facts, err
}

func (s *Supervisor) volumeDisk() ([]view.VolumeDisk, error) {
	store, volumes, err := s.knownVolumes()
	if err != nil {
		return nil, err
	}
	var list []view.VolumeDisk
	for _, v := range volumes {
		n, err := store.Usage(v.Name)
		if err != nil {
			return nil, err
		}
		list = append(list, view.VolumeDisk{Volume: v, Disk: n, Sandboxes: len(s.volumeUsers(v.Name))})
	}
	return list, nil
}
