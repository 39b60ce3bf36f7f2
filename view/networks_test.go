package view

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"sbx/api"
)

func networks() []Network {
	return []Network{
		{
			ID: id("1ab0"), Name: "lab", Driver: "bridge", Bridge: "net-3f01c2", Isolate: true, IPv6: true, Internal: true, MTU: 1400,
			Subnets: []Subnet{
				{Prefix: netip.MustParsePrefix("10.90.1.0/24"), Gateway: netip.MustParseAddr("10.90.1.254"), Range: netip.MustParsePrefix("10.90.1.128/25")},
				{Prefix: netip.MustParsePrefix("fd12:3456::/64"), Gateway: netip.MustParseAddr("fd12:3456::1")},
			},
			Labels: map[string]string{"team": "red", "tier": "<front>"}, Options: map[string]string{"com.docker.network.driver.mtu": "1400"},
			Created: ago(2 * time.Hour),
		},
		{
			ID: id("b41d"), Name: "bridge", Driver: "bridge", Bridge: "sbx0", MTU: 65520, Created: ago(48 * time.Hour),
			Subnets: []Subnet{{Prefix: netip.MustParsePrefix("10.88.0.0/22"), Gateway: netip.MustParseAddr("10.88.0.1")}},
		},
		{ID: id("1dfe"), Name: "idle", Driver: "bridge", Bridge: "net-000001", MTU: 65520, Created: ago(24 * time.Hour), Labels: map[string]string{"team": "blue"}},
	}
}

// connected are sandboxes with all that there is of networks.
func connected() []api.Sandbox {
	web := box("3b1f", "web", time.Hour, api.Status{State: api.Running, PID: 4242, StartedAt: ago(time.Hour)})
	web.Config.Hostname = "www"
	web.Config.Isolation.Network = api.DefaultNetwork
	web.Config.Net = api.Net{
		Endpoints: []api.Attachment{{Network: "lab", Aliases: []string{"db"}, IP: "10.90.1.130"}, {Network: "bridge", MAC: "02:00:00:00:00:01"}},
		Ports: []api.Port{
			{HostPort: 8080, Port: 80, Proto: "tcp"}, {Host: "127.0.0.1", Port: 53, Proto: "udp"}, {Host: "::1", HostPort: 9000, HostLast: 9010, Port: 9, Proto: "tcp"},
			{Host: "0.0.0.0", HostPort: 7000, Port: 7000, Proto: "tcp"}, {Host: "0.0.0.0", HostPort: 7001, Port: 7001, Proto: "tcp"},
		},
		PublishAll: true, Expose: []string{"80/tcp", "443/tcp", "444/tcp"},
		DNS: []string{"1.1.1.1"}, DNSSearch: []string{"example.com"}, DNSOptions: []string{"ndots:1"}, AddHosts: []string{"a:1.2.3.4"},
	}
	web.Networks = []api.Joined{
		{
			Network: "lab", NetworkID: id("1ab0"), Aliases: []string{"db"}, Ifname: "eth0", Host: "v-1", MAC: "02:42:0a:5a:01:82",
			IP: netip.MustParseAddr("10.90.1.130"), Bits: 24, Gateway: netip.MustParseAddr("10.90.1.254"),
			IP6: netip.MustParseAddr("fd12:3456::2"), Bits6: 64, Gateway6: netip.MustParseAddr("fd12:3456::1"),
		},
		{
			Network: "bridge", NetworkID: id("b41d"), Ifname: "eth1", Host: "v-2", MAC: "02:00:00:00:00:01",
			IP: netip.MustParseAddr("10.88.0.2"), Bits: 22, Gateway: netip.MustParseAddr("10.88.0.1"),
		},
	}
	web.Published = []api.Port{
		{HostPort: 8080, Port: 80, Proto: "tcp"}, {Host: "127.0.0.1", HostPort: 34567, Port: 53, Proto: "udp"}, {Host: "::1", HostPort: 9000, Port: 9, Proto: "tcp"},
		{Host: "0.0.0.0", HostPort: 7000, Port: 7000, Proto: "tcp"}, {Host: "0.0.0.0", HostPort: 7001, Port: 7001, Proto: "tcp"},
	}
	plain := box("c0", "plain", 2*time.Hour, api.Status{State: api.Running, PID: 7, StartedAt: ago(time.Hour)})
	plain.Networks = []api.Joined{{Network: "bridge", NetworkID: id("b41d"), MAC: "02:42:0a:58:00:03", IP: netip.MustParseAddr("10.88.0.3"), Bits: 22, Gateway: netip.MustParseAddr("10.88.0.1")}}
	peer := box("d1", "peer", 3*time.Hour, api.Status{State: api.Running, PID: 8, StartedAt: ago(time.Hour)})
	peer.Config.Isolation.Network = "container:web"
	peer.Config.Net.Expose = []string{"80/tcp"}
	stopped := box("e2", "stopped", 4*time.Hour, api.Status{State: api.Exited, StartedAt: ago(time.Hour), FinishedAt: ago(time.Hour)})
	stopped.Config.Net = api.Net{Endpoints: []api.Attachment{{Network: "lab"}}, Ports: []api.Port{{HostPort: 80, Port: 80, Proto: "tcp"}}}
	nowhere := box("f3", "nowhere", 5*time.Hour, api.Status{State: api.Exited, StartedAt: ago(time.Hour), FinishedAt: ago(time.Hour)})
	nowhere.Config.Net.Nowhere = true
	return []api.Sandbox{web, plain, peer, stopped, nowhere}
}

func TestNetworksGolden(t *testing.T) {
	for name, req := range map[string]api.NetworkList{
		"networks.golden":          {},
		"networks-no-trunc.golden": {NoTrunc: true},
		"networks-quiet.golden":    {Quiet: true},
		"networks-json.golden":     {Format: "json"},
		"networks-raw.golden":      {Format: "raw"},
		"networks-table.golden":    {Format: `table {{.Name}}\t{{.IPv6}}\t{{.Internal}}\t{{.Label "team"}}\t{{.Labels}}\t{{.CreatedAt}}`},
		"networks-none.golden":     {Filters: []string{"name=nothing"}},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := Networks(networks(), connected(), req)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, text)
		})
	}
}

func TestNetworkFilters(t *testing.T) {
	for filters, want := range map[string]string{
		"":                         "bridge idle lab",
		"name=la":                  "lab",
		"name=^i name=lab":         "idle lab",
		"id=1":                     "bridge idle lab",
		"id=^1":                    "idle lab",
		"driver=bridge":            "bridge idle lab",
		"driver=host":              "",
		"scope=local scope=swarm":  "bridge idle lab",
		"scope=swarm":              "",
		"type=custom":              "idle lab",
		"type=builtin":             "bridge",
		"label=team":               "idle lab",
		"label=team=red":           "lab",
		"label=team label=tier":    "lab",
		"dangling=true":            "idle",
		"dangling=0":               "bridge lab",
		"label=team dangling=true": "idle",
	} {
		text, err := Networks(networks(), connected(), api.NetworkList{Filters: strings.Fields(filters), Format: "{{.Name}}"})
		if got := strings.Join(strings.Fields(text), " "); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", filters, got, err, want)
		}
	}
	for filters, want := range map[string]string{
		"":                       "idle",
		"label=team=blue":        "idle",
		"label!=team":            "",
		"label!=team=red":        "idle",
		"until=1h":               "idle",
		"until=36h":              "",
		"until=2026-03-14":       "idle",
		"label=team until=1000h": "",
	} {
		list, err := Prunable(networks(), connected(), api.NetworkPrune{Filters: strings.Fields(filters)}, now())
		var names []string
		for _, n := range list {
			names = append(names, n.Name)
		}
		if got := strings.Join(names, " "); got != want || err != nil {
			t.Errorf("prune %q: %q, %v; want %q", filters, got, err, want)
		}
	}
	list, err := Prunable(networks(), connected()[4:], api.NetworkPrune{}, now())
	if len(list) != 2 || err != nil {
		t.Errorf("prune without users: %v, %v", list, err)
	}
	for filter, want := range map[string]string{
		"dangling=maybe": `filter "dangling=maybe": it is true or false`,
		"type=odd":       `filter "type=odd": a type is builtin or custom`,
		"until=1h":       `filter "until=1h": no such filter: filters are dangling, driver, id, label, name, scope, type`,
		"name=(":         "filter \"name=(\": error parsing regexp: missing closing ): `(`",
	} {
		if _, err := Networks(networks(), nil, api.NetworkList{Filters: []string{filter}}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", filter, err, want)
		}
	}
	if _, err := Networks(nil, nil, api.NetworkList{Format: "table {{.Foo}}"}); err == nil {
		t.Error("{{.Foo}}: no error")
	}
}

func TestInspectNetworkGolden(t *testing.T) {
	text, err := Inspect([]Object{InspectedNetwork(networks()[0], connected()), InspectedNetwork(networks()[1], connected())}, "")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "network-inspect.golden", text)
	for format, want := range map[string]string{
		"{{.Id}}": id("1ab0"), "{{.ID}}": id("1ab0"), "{{(index .IPAM.Config 0).Subnet}}": "10.90.1.0/24",
		"{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}": "web 10.90.1.130/24",
	} {
		got, err := Inspect([]Object{InspectedNetwork(networks()[0], connected())}, format)
		if got != want+"\n" || err != nil {
			t.Errorf("%s: %q, %v; want %q", format, got, err, want)
		}
	}
}

func TestNetworkSettingsGolden(t *testing.T) {
	text, err := inspectBoxes(connected(), `{"Settings":{{json .NetworkSettings}},"Mode":{{json .HostConfig.NetworkMode}},"Bindings":{{json .HostConfig.PortBindings}},`+
		`"All":{{.HostConfig.PublishAllPorts}},"Dns":{{json .HostConfig.Dns}}{{json .HostConfig.DnsSearch}}{{json .HostConfig.DnsOptions}},`+
		`"Hosts":{{json .HostConfig.ExtraHosts}},"Exposed":{{json .Config.ExposedPorts}}}`)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "network-settings.golden", text)
	web := connected()[:1]
	for format, want := range map[string]string{
		`{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}}`:      "8080",
		`{{(index (index .NetworkSettings.Ports "80/tcp") 1).HostIp}}`:        "::",
		`{{.NetworkSettings.IPAddress}}`:                                      "10.88.0.2",
		`{{.NetworkSettings.Networks.lab.IPAddress}}`:                         "10.90.1.130",
		`{{range .NetworkSettings.Networks}}{{.Gateway}} {{end}}`:             "10.88.0.1 10.90.1.254 ",
		`{{.NetworkSettings.Networks.lab.DNSNames}}`:                          "[web db 3b1f00000000 www]",
		`{{.NetworkSettings.SandboxKey}} {{.HostConfig.NetworkMode}}`:         "/proc/4242/ns/net lab",
		`{{range $p, $c := .NetworkSettings.Ports}}{{$p}}={{len $c}} {{end}}`: "443/tcp=0 444/tcp=0 53/udp=1 7000/tcp=1 7001/tcp=1 80/tcp=2 9/tcp=1 ",
	} {
		got, err := inspectBoxes(web, format)
		if got != want+"\n" || err != nil {
			t.Errorf("%s: %q, %v; want %q", format, got, err, want)
		}
	}
}

func TestPorts(t *testing.T) {
	boxes := connected()
	for _, test := range []struct {
		box        int
		port, want string
	}{
		{0, "", "9/tcp -> [::1]:9000\n53/udp -> 127.0.0.1:34567\n80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080\n7000/tcp -> 0.0.0.0:7000\n7001/tcp -> 0.0.0.0:7001\n"},
		{0, "80/tcp", "0.0.0.0:8080\n[::]:8080\n"},
		{0, "53/udp", "127.0.0.1:34567\n"},
		{1, "", ""},
		{3, "", ""},
	} {
		if got, err := Ports(boxes[test.box], test.port); got != test.want || err != nil {
			t.Errorf("%d %q: %q, %v; want %q", test.box, test.port, got, err, test.want)
		}
	}
	for port, box := range map[string]int{"80/udp": 0, "443/tcp": 0, "80/tcp": 3} {
		want := "port " + boxes[box].Config.Name + `: no public port "` + port + `" is published: 'sbx port ` + boxes[box].Config.Name + `' shows those that are`
		if _, err := Ports(boxes[box], port); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", port, err, want)
		}
	}
}

// TestPortsColumn: the cells that docker ps makes of the same ports.
func TestPortsColumn(t *testing.T) {
	text, err := List(connected(), api.List{All: true, Format: "{{.Names}}|{{.Ports}}|{{.Networks}}"}, now())
	want := `web|443-444/tcp, 0.0.0.0:7000-7001->7000-7001/tcp, [::1]:9000->9/tcp, 127.0.0.1:34567->53/udp, 0.0.0.0:8080->80/tcp, [::]:8080->80/tcp|lab,bridge
plain||bridge
peer||
stopped||lab
nowhere||
`
	if text != want || err != nil {
		t.Errorf("got\n%s%v; want\n%s", text, err, want)
	}
	both := box("aa", "both", time.Hour, api.Status{State: api.Running})
	for port := uint16(9000); port < 9003; port++ {
		both.Published = append(both.Published, api.Port{HostPort: port, Port: port, Proto: "tcp"})
	}
	if got, want := portsColumn(&both), "0.0.0.0:9000-9002->9000-9002/tcp, [::]:9000-9002->9000-9002/tcp"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNetworkFiltersOfPs(t *testing.T) {
	for filters, want := range map[string]string{
		"network=lab":                 "web stopped",
		"network=bridge":              "web plain",
		"network=container:web":       "",
		"network=" + id("b41d"):       "web plain",
		"network=b41d0":               "web plain",
		"publish=8080":                "web",
		"publish=80":                  "",
		"publish=34000-35000/udp":     "web",
		"expose=443":                  "web",
		"expose=80":                   "web peer stopped",
		"expose=80/udp":               "",
		"publish=8080 network=bridge": "web",
		"publish=8080 expose=53/udp":  "web",
	} {
		text, err := List(connected(), api.List{All: true, Filters: strings.Fields(filters), Format: "{{.Names}}"}, now())
		if got := strings.Join(strings.Fields(text), " "); got != want || err != nil {
			t.Errorf("%q: %q, %v; want %q", filters, got, err, want)
		}
	}
	if _, err := List(nil, api.List{Filters: []string{"publish=http"}}, now()); err == nil || !strings.Contains(err.Error(), "a port is written PORT") {
		t.Errorf("publish=http: %v", err)
	}
}
