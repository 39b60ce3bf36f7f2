package sandbox

import (
	"time"

	"sbx/api"
	"sbx/network"
	"sbx/view"
)

// knownNetworks are all networks, the default one among them.
func (s *Supervisor) knownNetworks() (*networks, []view.Network, error) {
	n, err := s.network()
	if err != nil {
		return nil, nil, err
	}
	if _, err := n.swtch.Find(api.DefaultNetwork); err != nil {
		return nil, nil, err
	}
	var list []view.Network
	for _, net := range n.swtch.Networks() {
		list = append(list, networkFacts(net))
	}
	return n, list, nil
}

func networkFacts(n network.Network) view.Network {
	facts := view.Network{
		ID: n.ID, Name: n.Name, Driver: n.Driver, Bridge: n.Bridge, IPv6: n.IPv6, Internal: n.Internal,
		Isolate: n.Isolate, MTU: n.MTU, Labels: n.Labels, Options: n.Options, Created: n.Created,
	}
	for _, s := range n.Subnets {
		facts.Subnets = append(facts.Subnets, view.Subnet{Prefix: s.Prefix, Gateway: s.Gateway, Range: s.Range})
	}
	return facts
}

func (c *conversation) listNetworks(r *api.NetworkList) error {
	_, all, err := c.s.knownNetworks()
	if err != nil {
		return err
	}
	text, err := view.Networks(all, c.s.sandboxes(), *r)
	if err != nil {
		return err
	}
	return c.done(text)
}

func (c *conversation) inspectNetworks(r *api.Inspect) error {
	return c.inspectAny(r, c.s.inspectNetwork)
}

func (s *Supervisor) inspectNetwork(name string) (view.Object, error) {
	n, err := s.network()
	if err != nil {
		return view.Object{}, err
	}
	net, err := n.swtch.Find(name)
	if err != nil {
		return view.Object{}, err
	}
	return view.InspectedNetwork(networkFacts(net), s.sandboxes()), nil
}

// pruneNetworks removes the networks that no sandbox is to be on.
func (c *conversation) pruneNetworks(r *api.NetworkPrune) error {
	n, all, err := c.s.knownNetworks()
	if err != nil {
		return err
	}
	list, err := view.Prunable(all, c.s.sandboxes(), *r, time.Now())
	if err != nil {
		return err
	}
	code, text := 0, ""
	for _, net := range list {
		if err := n.remove(net.Name); err != nil {
			code = 1
			if err := c.complain(err); err != nil {
				return err
			}
			continue
		}
		c.s.noteNetwork("destroy", net.ID, net.Name, "")
		text += net.Name + "\n"
	}
	if text != "" {
		text = "Deleted Networks:\n" + text + "\n"
	}
	return c.conn.Send(api.KindDone, &api.Done{Code: code, Text: text})
}

func (c *conversation) ports(r *api.PortQuery) error {
	c.s.mu.Lock()
	b, err := c.s.find(r.Name)
	var box api.Sandbox
	if err == nil {
		box = b.view()
	}
	c.s.mu.Unlock()
	if err != nil {
		return err
	}
	text, err := view.Ports(box, r.Port)
	if err != nil {
		return err
	}
	return c.done(text)
}
