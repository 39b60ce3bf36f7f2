package tests

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

func TestNetworkVerbs(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	id := e.OK("network", "create", "--label", "k=v", "--subnet", "10.231.8.0/24", "-o", "com.docker.network.driver.mtu=1400", "lab")
	if !regexp.MustCompile(`^[0-9a-f]{64}$`).MatchString(id) {
		t.Errorf("network create printed %q, want an id", id)
	}
	e.Is("bridge\nlab", "network", "ls", "--format", "{{.Name}}")
	e.Is(id, "network", "ls", "-q", "--no-trunc", "--filter", "name=lab")
	e.Is("lab", "network", "ls", "--filter", "label=k=v", "--format", "{{.Name}}")
	if out := e.OK("network", "ls"); !regexp.MustCompile(`(?m)^NETWORK ID +NAME +DRIVER +SCOPE$`).MatchString(out) {
		t.Errorf("network ls:\n%s", out)
	}
	e.serve("web", "--network", "lab")
	e.sees("web", "mtu 1400", "ip", "link", "show", "eth0")
	var shown []struct {
		Name, ID, Driver string
		IPAM             struct {
			Config []struct{ Subnet, Gateway string }
		}
		Containers map[string]struct{ Name, MacAddress, IPv4Address string }
		Labels     map[string]string
	}
	if err := json.Unmarshal([]byte(e.OK("network", "inspect", "lab")), &shown); err != nil || len(shown) != 1 {
		t.Fatalf("network inspect: %v, %d objects", err, len(shown))
	}
	n := shown[0]
	if n.Name != "lab" || n.ID != id || n.Driver != "bridge" || n.Labels["k"] != "v" || len(n.IPAM.Config) != 1 ||
		n.IPAM.Config[0].Subnet != "10.231.8.0/24" || n.IPAM.Config[0].Gateway != "10.231.8.1" {
		t.Errorf("network inspect: %+v", n)
	}
	member := n.Containers[e.OK("inspect", "-f", "{{.Id}}", "web")]
	if member.Name != "web" || member.IPv4Address != e.ip("web", "lab")+"/24" || member.MacAddress != e.joined("web", "lab", "MacAddress") {
		t.Errorf("network inspect: Containers: %+v", n.Containers)
	}
	e.Is(id, "network", "inspect", "-f", "{{.ID}}", id[:8])

	e.Fails(1, "in use by web", "network", "rm", "lab")
	e.OK("stop", "-t", "0", "web")
	e.Fails(1, "in use by web", "network", "rm", "lab") // it would not start again
	e.OK("network", "create", "idle")
	if out := e.OK("network", "prune", "-f"); out != "Deleted Networks:\nidle\n" {
		t.Errorf("network prune: %q", out)
	}
	e.OK("rm", "web")
	e.Is("lab", "network", "rm", "lab")
	e.Is("bridge", "network", "ls", "--format", "{{.Name}}")
	e.OK("network", "create", "lab")
}

func TestNetworkBadInput(t *testing.T) {
	t.Parallel()
	e := Sbx(t)
	e.Busybox()
	e.OK("network", "create", "--subnet", "10.231.9.0/24", "lab")
	e.OK("network", "create", "--subnet", "10.231.10.0/30", "tiny")
	e.OK("network", "create", "--subnet", "10.231.11.0/29", "small")
	for _, bad := range []struct {
		code  int
		words string
		args  string
	}{
		{1, "it exists", "network create lab"},
		{1, "the name is reserved", "network create bridge"},
		{1, "did you mean 10.91.0.0/24", "network create --subnet 10.91.0.1/24 x1"},
		{1, "/30 is the smallest", "network create --subnet 10.91.0.0/31 x1"},
		{1, "/8 is the largest", "network create --subnet 8.0.0.0/6 x1"},
		{1, "it is for loopback", "network create --subnet 127.3.0.0/16 x1"},
		{1, "it is for link-local", "network create --subnet 169.254.8.0/24 x1"},
		{1, "it is for multicast", "network create --subnet 224.1.0.0/16 x1"},
		{1, "overlaps with network lab, 10.231.9.0/24", "network create --subnet 10.231.8.0/23 x1"},
		{1, "overlaps with", "network create --subnet 10.0.2.0/24 x1"}, // the way out, or the host's own network
		{125, "expected an address and the length", "network create --subnet 10.91.0.0 x1"},
		{125, "no matching subnet", "network create --subnet 10.91.0.0/24 --gateway 10.92.0.1 x1"},
		{1, "the broadcast address", "network create --subnet 10.91.0.0/24 --gateway 10.91.0.255 x1"},
		{125, "bridge is the only one", "network create -d macvlan x1"},
		{125, "expected", "network create -o nonsense=1 x1"},
		{125, "expected 2 to 128", "network create ../x"},
		{1, "there is none", "network rm nosuch"},
		{1, "it is the default network", "network rm bridge"},
		{1, "nosuch", "network inspect -f {{.Name}} nosuch"},
		{1, "there is none", "network connect nosuch box"},
		{1, "no such sandbox", "network connect lab nosuch"},
		{125, "there is none", "run --rm --network nosuch busybox true"},
	} {
		e.Fails(bad.code, bad.words, strings.Fields(bad.args)...)
	}
	e.Is("bridge\nlab\nsmall\ntiny", "network", "ls", "--format", "{{.Name}}")

	// A failed start leaves nothing: the address that it would have had is free.
	e.serve("one", "--network", "tiny")
	e.Fails(125, "all are taken", "run", "--rm", "--network", "tiny", "busybox", "true")
	e.Fails(125, "all are taken", "run", "-d", "--network", "small", "--network", "tiny", "busybox", "true")
	for _, name := range []string{"s1", "s2", "s3", "s4", "s5"} {
		e.serve(name, "--network", "small")
	}
	e.Fails(125, "all are taken", "run", "--rm", "--network", "small", "busybox", "true")
	e.reaches("s1", true, "s5")
	e.OK("rm", "-f", "s3", "one")
	e.serve("s6", "--network", "small")
	e.serve("two", "--network", "tiny")
	e.reaches("s6", true, "s1")
}
