package main

import (
	"encoding/json"
	"strings"
	"testing"

	"sbx/api"
)

// TestNetworkFlags has a line for each form of the flags about networks: the mode,
// and the rest as it travels.
func TestNetworkFlags(t *testing.T) {
	for _, test := range []struct{ args, mode, want string }{
		{"", "", `{}`},
		{"--network bridge", "bridge", `{}`},
		{"--net default", "bridge", `{}`},
		{"--network none", "none", `{}`},
		{"--network host --dns 1.1.1.1", "host", `{"dns":["1.1.1.1"]}`},
		{"--network container:web", "container:web", `{}`},
		{"--network pasta", "pasta", `{}`},
		{"--network slirp4netns:allow_host_loopback=true", "slirp4netns", `{"host_loopback":true}`},
		{"--network bridge:allow-host-loopback", "bridge", `{"host_loopback":true}`},
		{"--network lab:allow-host-loopback", "bridge", `{"endpoints":[{"network":"lab"}],"host_loopback":true}`},
		{"--network pasta:--map-gw,--mtu,1500", "pasta", `{"host_loopback":true,"mtu":1500}`},
		{"--network pasta:-m,9000,--no-map-gw", "pasta", `{"mtu":9000}`},
		{"--network slirp4netns:mtu=1280 -p 80:80/udp", "slirp4netns", `{"ports":[{"host_port":80,"port":80,"proto":"udp"}],"mtu":1280}`},
		{"--network bridge:allow-host-loopback=false", "bridge", `{}`},
		{"--mac-address 02-42-0A-58-00-05", "bridge", `{"endpoints":[{"network":"bridge","mac":"02:42:0a:58:00:05"}]}`},
		{"--network lab", "bridge", `{"endpoints":[{"network":"lab"}]}`},
		{"--network lab --network bridge", "bridge", `{"endpoints":[{"network":"lab"},{"network":"bridge"}]}`},
		{"--network lab --ip 10.1.2.3 --ip6 FD00::0:1 --network-alias a --net-alias b --mac-address 02:00:00:00:00:01", "bridge",
			`{"endpoints":[{"network":"lab","ip":"10.1.2.3","ip6":"fd00::1","mac":"02:00:00:00:00:01","aliases":["a","b"]}]}`},
		{"--network lab:ip=10.1.2.3,ip=fd00::1,alias=a,alias=b,mac=02:00:00:00:00:01,interface_name=lan0", "bridge",
			`{"endpoints":[{"network":"lab","ip":"10.1.2.3","ip6":"fd00::1","mac":"02:00:00:00:00:01","aliases":["a","b"],"ifname":"lan0"}]}`},
		{"--network name=lab,alias=a,ip=10.1.2.3,ip6=fd00::1,mac-address=02:00:00:00:00:01 --network two:alias=c --ip 10.1.2.3", "", "conflicting options: cannot specify both --ip and per-network IPv4 address"},
		{"--network name=lab,alias=a,ip6=fd00::1 --network two:alias=c --ip 10.1.2.3", "bridge",
			`{"endpoints":[{"network":"lab","aliases":["a"],"ip":"10.1.2.3","ip6":"fd00::1"},{"network":"two","aliases":["c"]}]}`},
		{"--dns 1.1.1.1 --dns 2001:DB8::1 --dns-search . --dns-opt ndots:2 --add-host a:1.2.3.4 --add-host b=[::1] --add-host c:::1 --add-host d:host-gateway", "",
			`{"dns":["1.1.1.1","2001:db8::1"],"dns_search":["."],"dns_options":["ndots:2"],"add_hosts":["a:1.2.3.4","b:::1","c:::1","d:host-gateway"]}`},
		{"-P --expose 80 --expose 80/tcp --expose 7-8/UDP", "", `{"publish_all":true,"expose":["80/tcp","7/udp","8/udp"]}`},

		{"--network host --network lab", "", `--network "host": conflicting options: cannot attach both user-defined and non-user-defined network-modes`},
		{"--network lab --network container:a", "", `--network "container:a": conflicting options: cannot attach both user-defined and non-user-defined network-modes`},
		{"--network lab --network name=lab", "", `--network "name=lab": network "lab" is specified multiple times`},
		{"--network container:", "", `--network "container:": expected container:NAME`},
		{"--network alias=a", "", `--network "alias=a": expected the name of a network, none, host, pasta, slirp4netns or container:NAME`},
		{"--network -x", "", `--network "-x": expected the name of a network, none, host, pasta, slirp4netns or container:NAME`},
		{"--network lab:", "", `--network "lab:": an option is missing behind the colon`},
		{"--network lab:ip=", "", `--network "lab:ip=": ip needs a value`},
		{"--network lab:ip=10.1.2", "", `--network "lab:ip=10.1.2": "10.1.2" is not an IPv4 address`},
		{"--network lab:speed=9", "", `--network "lab:speed=9": unknown option "speed": expected alias, ip, ip6, mac-address, interface_name or allow-host-loopback; for pasta and slirp4netns mtu or allow-host-loopback`},
		{"--network name=lab,gw-priority=1", "", `--network "name=lab,gw-priority=1": gw-priority is not supported yet: the network that is named first has the default route`},
		{"--network lab:interface_name=a/b", "", `--network "lab:interface_name=a/b": interface_name "a/b": expected up to 15 letters and digits`},
		{"--network lab:alias=a/b", "", `--network "lab:alias=a/b": an alias has letters, digits, '.', '_' and '-', the first no '-' or '.'`},
		{"--network pasta:ip=1.2.3.4", "", `--network "pasta:ip=1.2.3.4": pasta is not a network: nothing of one can be chosen`},
		{"--network pasta:--tcp-ports,80", "", `--network "pasta:--tcp-ports,80": unknown option "--tcp-ports": expected alias, ip, ip6, mac-address, interface_name or allow-host-loopback; for pasta and slirp4netns mtu or allow-host-loopback`},
		{"--network slirp4netns:cidr=10.0.3.0/24", "", `--network "slirp4netns:cidr=10.0.3.0/24": unknown option "cidr": expected alias, ip, ip6, mac-address, interface_name or allow-host-loopback; for pasta and slirp4netns mtu or allow-host-loopback`},
		{"--network pasta:mtu=1279", "", `--network "pasta:mtu=1279": mtu="1279": expected 1280 to 65520`},
		{"--network pasta:--mtu", "", `--network "pasta:--mtu": mtu="": expected 1280 to 65520`},
		{"--network lab:mtu=1500", "", `--network "lab:mtu=1500": the MTU of a network is chosen when it is made: sbx network create -o mtu=1500`},
		{"--network host:mtu=1500", "", `--network "host:mtu=1500": host has no MTU to choose`},
		{"--network pasta --network lab", "", `--network "pasta": conflicting options: cannot attach both user-defined and non-user-defined network-modes`},
		{"--network host:allow-host-loopback", "", `--network "host:allow-host-loopback": host has no gateway to reach the host's loopback by`},
		{"--network ns:/proc/1/ns/net", "", `--network "ns:/proc/1/ns/net": sbx joins no namespace by its path: use container:NAME`},
		{"--ip 10.88.0.9", "", "user specified IP address is supported on user defined networks only: make one with 'sbx network create'"},
		{"--network bridge:ip6=fd00::1", "", "user specified IP address is supported on user defined networks only: make one with 'sbx network create'"},
		{"--network none --ip6 fd00::1", "", "user specified IP address is supported on user defined networks only: make one with 'sbx network create'"},
		{"--network-alias a", "", "network-scoped alias is supported only for containers in user defined networks: make one with 'sbx network create'"},
		{"--network host --network-alias a", "", "network-scoped alias is supported only for containers in user defined networks: make one with 'sbx network create'"},
		{"--network host --mac-address 02:00:00:00:00:01", "", "conflicting options: mac-address and the network mode"},
		{"--network lab --mac-address 03:00:00:00:00:01", "", `--mac-address "03:00:00:00:00:01": the address is for many receivers: the first byte must be even, such as 02`},
		{"--network lab --mac-address 2:0:0:0:0:1", "", `--mac-address "2:0:0:0:0:1": "2:0:0:0:0:1" is not a MAC address: write it as 02:42:0a:58:00:05`},
		{"--network lab --ip6 ::ffff:1.2.3.4", "", `--ip6 "::ffff:1.2.3.4": "::ffff:1.2.3.4" is not an IPv6 address`},
		{"--network lab:alias=a --network-alias b", "", "conflicting options: cannot specify both --network-alias and per-network alias"},
		{"--network container:a -h b", "", "conflicting options: hostname and the network mode"},
		{"--network container:a --dns 1.1.1.1", "", "conflicting options: dns and the network mode"},
		{"--network container:a --add-host a:1.1.1.1", "", "conflicting options: custom host-to-IP mapping and the network mode"},
		{"--network container:a -P", "", "conflicting options: port publishing and the container type network mode"},
		{"--network container:a --expose 80", "", "conflicting options: port exposing and the container type network mode"},
		{"--network host -p 80:80", "", "--publish and --network host exclude each other: what the program listens on is the host's own already"},
		{"--network none -P", "", "--publish and --network none exclude each other: there is no way in"},
		{"--dns dns.example.com", "", `--dns "dns.example.com": it is not an IP address`},
		{"--dns-search=", "", `--dns-search "": expected one word; give the flag once for each`},
		{"--add-host a", "", `--add-host "a": expected NAME:ADDRESS or NAME:host-gateway`},
		{"--add-host a#:1.2.3.4", "", `--add-host "a#:1.2.3.4": "a#" is not a name`},
		{"--add-host a:1.2.3", "", `--add-host "a:1.2.3": "1.2.3" is not an IP address`},
		{"--expose 80:80", "", `--expose "80:80": invalid port format: expected PORT[-PORT][/PROTO]; --publish gives a port of the host`},
		{"--expose 0", "", `--expose "0": invalid port: "0": expected 1 to 65535`},
	} {
		got, err := parseSpec(t, append(strings.Fields(test.args), "img")...)
		if !strings.HasPrefix(test.want, "{") {
			if err == nil || err.Error() != test.want {
				t.Errorf("%s:\n got %v\nwant %s", test.args, err, test.want)
			}
			continue
		}
		var want api.Net
		if err := json.Unmarshal([]byte(test.want), &want); err != nil {
			t.Fatal(err)
		}
		if g, w := asJSON(t, got.Net), asJSON(t, want); err != nil || g != w || got.Isolation.Network != test.mode {
			t.Errorf("%s:\n got %q %s, %v\nwant %q %s", test.args, got.Isolation.Network, g, err, test.mode, w)
		}
	}
}

// TestPublish: Docker's forms of a port.
func TestPublish(t *testing.T) {
	for args, want := range map[string]string{
		"80":                              `[{"port":80,"proto":"tcp"}]`,
		"0:80":                            `[{"port":80,"proto":"tcp"}]`,
		"8080:80":                         `[{"host_port":8080,"port":80,"proto":"tcp"}]`,
		"8080:80/UDP":                     `[{"host_port":8080,"port":80,"proto":"udp"}]`,
		"127.0.0.1:8080:80":               `[{"host":"127.0.0.1","host_port":8080,"port":80,"proto":"tcp"}]`,
		"127.0.0.1::80":                   `[{"host":"127.0.0.1","port":80,"proto":"tcp"}]`,
		"[::1]:8080:80":                   `[{"host":"::1","host_port":8080,"port":80,"proto":"tcp"}]`,
		"::1:8080:80":                     `[{"host":"::1","host_port":8080,"port":80,"proto":"tcp"}]`,
		"[::]:8080:80/udp":                `[{"host":"::","host_port":8080,"port":80,"proto":"udp"}]`,
		"0.0.0.0:8080:80":                 `[{"host":"0.0.0.0","host_port":8080,"port":80,"proto":"tcp"}]`,
		"80-81":                           `[{"port":80,"proto":"tcp"},{"port":81,"proto":"tcp"}]`,
		"9000-9001:80-81":                 `[{"host_port":9000,"port":80,"proto":"tcp"},{"host_port":9001,"port":81,"proto":"tcp"}]`,
		"9000-9010:80":                    `[{"host_port":9000,"host_last":9010,"port":80,"proto":"tcp"}]`,
		"65535:65535":                     `[{"host_port":65535,"port":65535,"proto":"tcp"}]`,
		"8080:80,8080:80/udp":             `[{"host_port":8080,"port":80,"proto":"tcp"},{"host_port":8080,"port":80,"proto":"udp"}]`,
		"target=80,published=8080":        `[{"host_port":8080,"port":80,"proto":"tcp"}]`,
		"target=80,protocol=udp":          `[{"port":80,"proto":"udp"}]`,
		"127.0.0.1:80:80,127.0.0.2:80:80": `[{"host":"127.0.0.1","host_port":80,"port":80,"proto":"tcp"},{"host":"127.0.0.2","host_port":80,"port":80,"proto":"tcp"}]`,

		"":                         `invalid port: "": expected 1 to 65535`,
		"x":                        `invalid port: "x": expected 1 to 65535`,
		"8080:":                    `invalid port: "": expected 1 to 65535`,
		"8080:0":                   `invalid port: "0": expected 1 to 65535`,
		"8080:65536":               `invalid port: "65536": expected 1 to 65535`,
		"+80:80":                   `the host's port: invalid port: "+80": expected 0 to 65535`,
		"99999:80":                 `the host's port: invalid port: "99999": expected 0 to 65535`,
		"8080:80/sctp":             `sctp is not supported: pasta, slirp4netns and sbx carry TCP and UDP only`,
		"8080:80/icmp":             `invalid proto: "icmp": expected tcp or udp`,
		"localhost:8080:80":        `invalid IP address: "localhost"`,
		"81-80":                    `invalid range: "81-80": it ends before it begins`,
		"1-2:80-82":                `invalid ranges specified for container and host Ports: 3 and 2 ports`,
		"8080:80-81":               `invalid ranges specified for container and host Ports: 2 and 1 ports`,
		"0-5:80":                   `a range of the host's ports begins at 1`,
		"target=80,mode=host":      `unknown option "mode": expected target, published or protocol`,
		"target=80,published=":     `published needs a value`,
		"8080:80,8080:81":          `the host's port 8080/tcp is published twice`,
		"[::1]:8080:80,::1:8080:9": `the host's port 8080/tcp is published twice`,
	} {
		list := strings.Split(args, ",")
		if strings.HasPrefix(args, "target=") {
			list = []string{args}
		}
		ports, err := publishedPorts(list)
		if !strings.HasPrefix(want, "[") {
			if full := `--publish "` + list[len(list)-1] + `": ` + want; err == nil || err.Error() != full {
				t.Errorf("%s:\n got %v\nwant %s", args, err, full)
			}
			continue
		}
		if got := asJSON(t, ports); got != want || err != nil {
			t.Errorf("%s:\n got %s, %v\nwant %s", args, got, err, want)
		}
	}
	whole, err := publishedPorts([]string{"1-65535:1-65535"})
	if err != nil || len(whole) != 65535 || whole[65534].HostPort != 65535 || whole[65534].Port != 65535 {
		t.Errorf("all ports: %d, %v", len(whole), err)
	}
}

// FuzzPublish: whatever is typed, the ports are possible ones.
func FuzzPublish(f *testing.F) {
	for _, seed := range []string{"80", "[::1]:8080:80/udp", "1-3:4-6", "9000-9010:80", "target=80,published=1-2", "a:b:c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ports, err := parsePublish(text)
		if err == nil && len(ports) == 0 {
			t.Errorf("%q: neither ports nor an error", text)
		}
		for _, p := range ports {
			if p.Port == 0 || p.Proto != "tcp" && p.Proto != "udp" || p.HostLast != 0 && p.HostLast <= p.HostPort {
				t.Errorf("%q: %+v", text, p)
			}
		}
	})
}

// TestNetworkRequests: the words of each command about networks as they travel.
func TestNetworkRequests(t *testing.T) {
	h := newHome(t)
	h.fake(echoRequests)
	for words, want := range map[string]string{
		"network create lab": `network create {"name":"lab","driver":"bridge"}`,
		"network create -d bridge --subnet 10.90.1.0/24 --subnet FD00:1::/64 --gateway fd00:1::9 --gateway 10.90.1.9 --ip-range 10.90.1.128/25 --ipv6 lab": `network create {"name":"lab","driver":"bridge","subnets":["10.90.1.0/24","fd00:1::/64"],"gateways":["fd00:1::9","10.90.1.9"],"ranges":["10.90.1.128/25"],"ipv6":true}`,
		"network create --internal --isolate --ignore --label a=b --label c -o com.docker.network.driver.mtu=1400 lab":                                     `network create {"name":"lab","driver":"bridge","internal":true,"isolate":true,"labels":{"a":"b","c":""},"options":{"com.docker.network.driver.mtu":"1400"},"ignore":true}`,
		"network create --opt com.docker.network.bridge.enable_icc=false lab":                                                                              `network create {"name":"lab","driver":"bridge","isolate":true}`,
		"network create --opt com.docker.network.bridge.enable_icc=true -o isolate=false lab":                                                              `network create {"name":"lab","driver":"bridge"}`,
		"network ls":                           `network ls {}`,
		"network list -q --no-trunc -f name=a": `network ls {"quiet":true,"no_trunc":true,"filters":["name=a"]}`,
		"network ls --format json":             `network ls {"format":"json"}`,
		"network inspect -f {{.Id}} a b":       `network inspect {"names":["a","b"],"format":"{{.Id}}"}`,
		"inspect --type network a":             `network inspect {"names":["a"]}`,
		"network rm -f a b":                    `network rm {"names":["a","b"],"force":true}`,
		"network remove a":                     `network rm {"names":["a"]}`,
		"network prune -f --filter until=1h":   `network prune {"filters":["until=1h"]}`,
		"network connect lab web":              `network connect {"sandbox":"web","attachment":{"network":"lab"}}`,
		"network connect --alias a --ip 1.2.3.4 --ip6 fd00::1 --mac-address 02:00:00:00:00:01 lab web": `network connect {"sandbox":"web","attachment":{"network":"lab","aliases":["a"],"ip":"1.2.3.4","ip6":"fd00::1","mac":"02:00:00:00:00:01"}}`,
		"network connect default web":   `network connect {"sandbox":"web","attachment":{"network":"bridge"}}`,
		"network disconnect -f lab web": `network disconnect {"sandbox":"web","network":"lab","force":true}`,
		"port web":                      `port {"name":"web"}`,
		"container port web 80":         `port {"name":"web","port":"80/tcp"}`,
		"port web 53/UDP":               `port {"name":"web","port":"53/udp"}`,
	} {
		h.sbx(strings.Fields(words)...).want(t, result{out: want + "\n"})
	}
	for words, want := range map[string]string{
		"network create a":                                                              `network create: network "a": expected 2 to 128 letters, digits, '_', '.' and '-', the first a letter or digit`,
		"network create -d macvlan lab":                                                 `network create: --driver "macvlan" is not supported yet: bridge is the only one for an ordinary user`,
		"network create --subnet 10.1.2.3 lab":                                          `network create: --subnet "10.1.2.3": expected an address and the length of the prefix, like 10.90.1.0/24`,
		"network create --subnet 10.1.0.0/24 --subnet 10.2.0.0/24 lab":                  `network create: --subnet "10.2.0.0/24": a network has one subnet of IPv4 and one of IPv6`,
		"network create --gateway 10.1.0.1 lab":                                         `network create: --gateway "10.1.0.1": no matching subnet: give it with --subnet`,
		"network create --subnet 10.1.0.0/24 --gateway 10.1.0.1 --gateway 10.1.0.2 lab": `network create: --gateway "10.1.0.2": the subnet 10.1.0.0/24 has one already`,
		"network create --subnet 10.1.0.0/24 --gateway x lab":                           `network create: --gateway "x": it is not an IP address`,
		"network create --subnet 10.1.0.0/24 --ip-range 10.2.0.0/25 lab":                `network create: --ip-range "10.2.0.0/25": no matching subnet: give it with --subnet`,
		"network create -o mtu=big lab":                                                 `network create: --opt "mtu=big": expected a number of bytes`,
		"network create -o speed=1 lab":                                                 `network create: --opt "speed=1": expected com.docker.network.driver.mtu=BYTES`,
		"network create -o com.docker.network.bridge.name=br7 lab":                      `network create: --opt com.docker.network.bridge.name is not supported yet: the bridge is in a network namespace of sbx's own, where its name is of no use`,
		"network create --attachable lab":                                               `network create: --attachable is not supported yet: sbx has no swarm`,
		"network ls -f name":                                                            `network ls: --filter "name": expected KEY=VALUE`,
		"network inspect -v lab":                                                        `network inspect: -v is not supported yet: there is nothing more to show`,
		"network connect host web":                                                      `network connect: network "host": a sandbox has it from its start to its end, or never`,
		"network connect --ip 10.88.0.9 bridge web":                                     `network connect: user specified IP address is supported on user defined networks only: make one with 'sbx network create'`,
		"network connect --alias -x lab web":                                            `network connect: --alias "-x": an alias has letters, digits, '.', '_' and '-', the first no '-' or '.'`,
		"network connect --link a lab web":                                              `network connect: --link is not supported yet: sandboxes on a network of your own reach each other by name: 'sbx network create'`,
		"port web 80-81":                                                                `port: port "80-81": expected one port`,
		"port web 80/sctp":                                                              `port: port "80/sctp": sctp is not supported: pasta, slirp4netns and sbx carry TCP and UDP only`,
	} {
		h.sbx(strings.Fields(words)...).want(t, result{err: "sbx: " + want + "\n", code: 125})
	}
	prune := h.command("network", "prune")
	prune.Stdin = strings.NewReader("n\n")
	finish(t, prune).want(t, result{out: "WARNING! This will remove all custom networks not used by at least one sandbox." +
		"\nAre you sure you want to continue? [y/N] "})
}
