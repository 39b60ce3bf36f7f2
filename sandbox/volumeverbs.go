package sandbox

import (
	"errors"
	"strconv"

	"sbx/api"
	"sbx/view"
	"sbx/volume"
)

// answerVolumes carries out what is about volumes.
func (c *conversation) answerVolumes() (known bool, err error) {
	handle := map[string]func() error{
		api.VerbVolumeCreate:  func() error { return with(c, c.createVolume) },
		api.VerbVolumeList:    func() error { return with(c, c.listVolumes) },
		api.VerbVolumeInspect: func() error { return with(c, c.inspectVolumes) },
		api.VerbVolumeRemove:  func() error { return with(c, c.removeVolumes) },
		api.VerbVolumePrune:   func() error { return with(c, c.pruneVolumes) },
	}[c.packet.Kind]
	if handle == nil {
		return false, nil
	}
	return true, handle()
}

func (c *conversation) createVolume(r *api.VolumeCreate) error {
	store, err := c.s.volumeStore()
	if err != nil {
		return err
	}
	m := api.Mount{Source: r.Name, Volume: api.VolumeWish{Labels: r.Labels, Options: r.Options}}
	if r.Name == "" {
		m.Source, m.Volume.Anonymous = newID(), true
	}
	made, err := store.Ensure(wished(&m), true)
	if err != nil {
		return err
	}
	if made {
		c.s.noteVolume("create", m.Source)
	}
	return c.done(m.Source + "\n")
}

// knownVolumes are all volumes.
func (s *Supervisor) knownVolumes() (*volume.Store, []view.Volume, error) {
	store, err := s.volumeStore()
	if err != nil {
		return nil, nil, err
	}
	var list []view.Volume
	for _, v := range store.List() {
		list = append(list, volumeFacts(store, v))
	}
	return store, list, nil
}

func volumeFacts(store *volume.Store, v volume.Volume) view.Volume {
	return view.Volume{
		Name: v.Name, Mountpoint: store.Data(v.Name), Anonymous: v.Anonymous(), Labels: v.Labels, Options: v.Options, Created: v.Created,
	}
}

func (c *conversation) listVolumes(r *api.VolumeList) error {
	_, all, err := c.s.knownVolumes()
	if err != nil {
		return err
	}
	text, err := view.Volumes(all, c.s.sandboxes(), *r)
	if err != nil {
		return err
	}
	return c.done(text)
}

func (c *conversation) inspectVolumes(r *api.Inspect) error {
	return c.inspectAny(r, func(name string) (view.Object, error) {
		store, err := c.s.volumeStore()
		if err != nil {
			return view.Object{}, err
		}
		v, err := store.Find(name)
		if err != nil {
			return view.Object{}, err
		}
		return view.InspectedVolume(volumeFacts(store, v)), nil
	})
}

func (c *conversation) removeVolumes(r *api.VolumeRemove) error {
	store, err := c.s.volumeStore()
	if err != nil {
		return err
	}
	return c.each(r.Names, func(name string) error {
		err := store.Remove(name)
		if r.Force && errors.Is(err, volume.ErrMissing) {
			return nil
		}
		if err == nil {
			c.s.noteVolume("destroy", name)
		}
		return err
	})
}

// pruneVolumes removes the volumes that no sandbox has.
func (c *conversation) pruneVolumes(r *api.VolumePrune) error {
	store, all, err := c.s.knownVolumes()
	if err != nil {
		return err
	}
	list, err := view.PrunableVolumes(all, c.s.sandboxes(), *r)
	if err != nil {
		return err
	}
	code, text, freed := 0, "", int64(0)
	for _, v := range list {
		size, err := store.Usage(v.Name)
		if err == nil {
			err = store.Remove(v.Name)
		}
		if errors.Is(err, volume.ErrUsed) || errors.Is(err, volume.ErrMissing) {
			continue // somebody has been quicker
		}
		if err != nil {
			code = 1
			if err := c.complain(err); err != nil {
				return err
			}
			continue
		}
		freed += size
		c.s.noteVolume("destroy", v.Name)
		text += v.Name + "\n"
	}
	if text != "" {
		text = "Deleted Volumes:\n" + text + "\n"
	}
	if !r.Part || text != "" {
		text += "Total reclaimed space: " + view.HumanSize(freed) + "\n"
	}
	return c.conn.Send(api.KindDone, &api.Done{Code: code, Text: text})
}

// noteVolume records what happens to a volume. Attributes are names and values in turn.
func (s *Supervisor) noteVolume(action, name string, attributes ...string) {
	s.journal.add(happening{
		kind: view.VolumeEvent, action: action, id: name, attributes: append([]string{"driver", view.VolumeDriver}, attributes...),
	})
}

// noteMounted tells of the volumes that a sandbox gets with its start, or leaves with
// its end.
func (s *Supervisor) noteMounted(c *api.Config, action string) {
	for i := range c.Mounts {
		m := &c.Mounts[i]
		if m.Type != api.MountVolume {
			continue
		}
		attributes := []string{"container", c.ID}
		if action == "mount" {
			attributes = append(attributes, "destination", m.Target, "propagation", "", "read/write", strconv.FormatBool(!m.ReadOnly))
		}
		s.noteVolume(action, m.Source, attributes...)
	}
}
