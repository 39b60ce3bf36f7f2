package sandbox

import (
	"sbx/api"
	"sbx/units"
)

// generate answers with the text of a unit file.
func (c *conversation) generate(r *api.Generate) error {
	var text string
	var err error
	switch r.For {
	case api.UnitSupervisor:
		text = units.ForSupervisor(r.Exe)
	case api.UnitQuadlet:
		text, err = units.ForQuadlet(r.Name, r.Text, r.Exe)
	case api.UnitSandbox:
		text, err = c.sandboxUnit(r)
	default:
		err = api.Errorf("generate", r.For, "there is no such unit")
	}
	if err != nil {
		return err
	}
	return c.done(text)
}

func (c *conversation) sandboxUnit(r *api.Generate) (string, error) {
	c.s.mu.Lock()
	b, err := c.s.find(r.Name)
	var config api.Config
	if err == nil {
		config = b.config
	}
	c.s.mu.Unlock()
	if err != nil {
		return "", err
	}
	return units.ForSandbox(&config, units.Options{Exe: r.Exe, Restart: r.Restart, Patience: r.Timeout})
}
