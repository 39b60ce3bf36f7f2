package tests

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// networkProbes are what the test binary does in a sandbox, or in the switch, for
// the tests of networks.
func networkProbes() map[string]func(args []string) {
	return map[string]func(args []string){
		"serve": probeServe, "reach": probeReach, "lookup": probeLookup, "flood": probeFlood,
		"forge": probeForge, "hear": probeHear, "knock": probeKnock, "switch": probeSwitch,
	}
}

func probeFail(what string, err error) {
	fmt.Fprintln(os.Stderr, what+":", err)
	os.Exit(1)
}

// probeServe listens on the ports in args, by TCP and UDP, and says "ready". Whoever
// connects is told the address that it has here, and then gets back what it sends.
func probeServe(args []string) {
	for _, port := range args {
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			probeFail("listen", err)
		}
		go serveTCP(l)
		p, err := net.ListenPacket("udp", ":"+port)
		if err != nil {
			probeFail("listen", err)
		}
		go serveUDP(p)
	}
	fmt.Println("ready")
	select {}
}

func serveTCP(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			probeFail("accept", err)
		}
		go func() {
			defer c.Close()
			if _, err := fmt.Fprintln(c, peerOf(c.RemoteAddr())); err == nil {
				// A client that goes away early is its own business.
				// Plain copying, since splice would take two more descriptors for each.
				_, _ = io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c})
			}
		}()
	}
}

func serveUDP(p net.PacketConn) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			probeFail("read", err)
		}
		if _, err := p.WriteTo(fmt.Appendf(nil, "%s\n%s", peerOf(from), buf[:n]), from); err != nil {
			probeFail("write", err)
		}
	}
}

// peerOf is an address without its port.
func peerOf(a net.Addr) string {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String()
	}
	return at.Addr().Unmap().WithZone("").String()
}

// probeReach tries all the TCP addresses in args at once and prints those that
// somebody answers at, with the first line of the answer.
func probeReach(args []string) {
	var wg sync.WaitGroup
	for _, addr := range args {
		wg.Go(func() {
			if line, err := ask("tcp", addr, ""); err == nil || errors.Is(err, io.EOF) {
				fmt.Printf("reached %s: %s\n", addr, line)
			}
		})
	}
	wg.Wait()
}

// ask connects, sends the words, and gives the first line of the answer, which for
// a server of probeServe is the client's own address.
func ask(network, addr, words string) (string, error) {
	enough := patience / 15 // two seconds, where nothing is slow
	c, err := net.DialTimeout(network, addr, enough)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(enough)); err != nil {
		return "", err
	}
	if network == "udp" || words != "" {
		if _, err := c.Write([]byte(words)); err != nil {
			return "", err
		}
	}
	buf := make([]byte, 2048)
	n, err := c.Read(buf)
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	return line, err
}

// probeLookup looks the name args[0] up args[1] times, one after the other, and
// prints how many had an answer soon (within a second, where nothing is slow), the
// median time in microseconds, and the worst.
func probeLookup(args []string) {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		probeFail("lookup", err)
	}
	var took []time.Duration
	answered := 0
	for range n {
		start := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), patience/30)
		if _, err := net.DefaultResolver.LookupNetIP(ctx, "ip4", args[0]); err == nil {
			answered++
		}
		cancel()
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	fmt.Printf("answered %d median %d worst %d\n", answered, took[n/2].Microseconds(), took[n-1].Microseconds())
}

// probeFlood asks the server args[0] as fast as it can, from many ports, in turn
// for the name args[1], for names that nobody has, and with nonsense, until it is
// killed. It says "flooding" when it has begun.
func probeFlood(args []string) {
	const ports = 16
	packets := [][]byte{query(args[1]), query("nobody.sbx.internal"), query(strings.Repeat("a.", 100)), []byte("nonsense"), make([]byte, 1200), {}}
	for range ports {
		c, err := net.Dial("udp", net.JoinHostPort(args[0], "53"))
		if err != nil {
			probeFail("dial", err)
		}
		go func() {
			for {
				for _, p := range packets {
					// Refused, or no buffer left: the next one may pass.
					_, _ = c.Write(p)
				}
			}
		}()
	}
	fmt.Println("flooding")
	select {}
}

// query is a DNS query for the addresses of a name. RFC 1035, 4.1.
func query(name string) []byte {
	q := []byte{0x5b, 0x5b, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		q = append(append(q, byte(len(label))), label...)
	}
	return append(q, 0, 0, 1, 0, 1)
}

// neighbour is what an attacker knows of the one that it attacks.
type neighbour struct {
	mac     net.HardwareAddr
	ip, ip6 netip.Addr
}

// forgery is a frame, and whether it may pass.
type forgery struct {
	name string
	pass bool
	data []byte
}

// forgeries are frames from own to victim; the last one may pass, and comes when
// all others have come or will not.
func forgeries(own, victim neighbour, gateway, gateway6 netip.Addr) []forgery {
	const v4, v6, arp, icmp6, udp = 0x0800, 0x86dd, 0x0806, 58, 17
	broadcast := net.HardwareAddr{255, 255, 255, 255, 255, 255}
	made := net.HardwareAddr{2, 0x42, 0xde, 0xad, 0xbe, 0xef}
	stranger := netip.MustParseAddr("192.0.2.9")
	usual, offer := []byte{3, 232, 7, 208}, []byte{0, 67, 0, 68}
	local := linkLocal(own.mac)
	advert := []byte{134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0}
	mine := append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, gateway6.AsSlice()...)
	f := func(to, from net.HardwareAddr, kind uint16, p []byte) []byte {
		return append(binary.BigEndian.AppendUint16(append(slices.Clone(to), from...), kind), p...)
	}
	return []forgery{
		{"IPv4", true, f(victim.mac, own.mac, v4, packet4(own.ip, victim.ip, usual))},
		{"IPv6", true, f(victim.mac, own.mac, v6, packet6(own.ip6, victim.ip6, udp, usual))},
		{"ARP", true, f(broadcast, own.mac, arp, arpPacket(1, own.mac, own.ip, victim.ip))},
		{"a forged MAC", false, f(victim.mac, made, v4, packet4(own.ip, victim.ip, usual))},
		{"the neighbour's MAC and address", false, f(victim.mac, victim.mac, v4, packet4(victim.ip, victim.ip, usual))},
		{"the neighbour's address", false, f(victim.mac, own.mac, v4, packet4(victim.ip, victim.ip, usual))},
		{"the gateway's address", false, f(victim.mac, own.mac, v4, packet4(gateway, victim.ip, usual))},
		{"a stranger's address", false, f(victim.mac, own.mac, v4, packet4(stranger, victim.ip, usual))},
		{"the neighbour's IPv6 address", false, f(victim.mac, own.mac, v6, packet6(victim.ip6, victim.ip6, udp, usual))},
		{"ARP: I am the gateway", false, f(victim.mac, own.mac, arp, arpPacket(2, own.mac, gateway, victim.ip))},
		{"ARP: I am the neighbour", false, f(broadcast, own.mac, arp, arpPacket(2, own.mac, victim.ip, victim.ip))},
		{"ARP with a forged MAC inside", false, f(victim.mac, own.mac, arp, arpPacket(2, made, own.ip, victim.ip))},
		{"neighbour advertisement: I am the gateway", false, f(victim.mac, own.mac, v6, packet6(local, victim.ip6, icmp6, mine))},
		{"router advertisement", false, f(victim.mac, own.mac, v6, packet6(local, victim.ip6, icmp6, advert))},
		{"DHCP offer", false, f(victim.mac, own.mac, v4, packet4(own.ip, victim.ip, offer))},
		{"VLAN", false, f(victim.mac, own.mac, 0x8100, append([]byte{0, 5, 8, 0}, packet4(own.ip, victim.ip, usual)...))},
		{"the end", true, f(victim.mac, own.mac, v4, packet4(own.ip, victim.ip, usual))},
	}
}

// markSize is what is put behind each frame, for the receiver to know it by.
const markSize = 8

func frameMark(i int) []byte { return fmt.Appendf(nil, "#mark%03d", i) }

// packet4 is an IPv4 packet with the beginning of a UDP header: its ports.
func packet4(from, to netip.Addr, ports []byte) []byte {
	const size = 20 + 8 + markSize
	h := make([]byte, 20, size)
	h[0], h[3], h[8], h[9] = 0x45, size, 64, 17
	copy(h[12:], from.AsSlice())
	copy(h[16:], to.AsSlice())
	var sum uint32
	for i := 0; i < len(h); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(h[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(h[10:], ^uint16(sum+sum>>16))
	return append(append(h, ports...), 0, 8+markSize, 0, 0)
}

func packet6(from, to netip.Addr, proto byte, payload []byte) []byte {
	h := make([]byte, 40)
	h[0], h[5], h[6], h[7] = 0x60, byte(len(payload)+markSize), proto, 255
	copy(h[8:], from.AsSlice())
	copy(h[24:], to.AsSlice())
	return append(h, payload...)
}

func arpPacket(op byte, mac net.HardwareAddr, ip, about netip.Addr) []byte {
	p := append([]byte{0, 1, 8, 0, 6, 4, 0, op}, mac...)
	p = append(append(p, ip.AsSlice()...), make([]byte, 6)...)
	return append(p, about.AsSlice()...)
}

// linkLocal is the address that belongs to a MAC address. RFC 4291, appendix A.
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}

// packetSocket is one on eth0.
func packetSocket() int {
	all := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_ALL))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(all))
	if err != nil {
		probeFail("packet socket", err)
	}
	eth, err := net.InterfaceByName("eth0")
	if err != nil {
		probeFail("eth0", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: eth.Index}); err != nil {
		probeFail("bind", err)
	}
	return fd
}

// probeForge sends every forgery. Args are the MAC, IPv4 and IPv6 addresses of
// itself, of the victim, and the addresses of the gateway.
func probeForge(args []string) {
	read := func(i int) neighbour {
		mac, err := net.ParseMAC(args[i])
		if err != nil {
			probeFail("mac", err)
		}
		return neighbour{mac, netip.MustParseAddr(args[i+1]), netip.MustParseAddr(args[i+2])}
	}
	fd := packetSocket()
	for i, f := range forgeries(read(0), read(3), netip.MustParseAddr(args[6]), netip.MustParseAddr(args[7])) {
		if _, err := unix.Write(fd, append(f.data, frameMark(i)...)); err != nil {
			probeFail(f.name, err)
		}
	}
}

// probeHear prints the number of each forgery that arrives.
func probeHear([]string) {
	fd := packetSocket()
	fmt.Println("ready")
	buf := make([]byte, 2048)
	for {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			probeFail("recvfrom", err)
		}
		if at := bytes.LastIndex(buf[:n], []byte("#mark")); at >= 0 && n >= at+markSize {
			fmt.Printf("heard %s\n", buf[at+5:at+markSize])
		}
	}
}

// probeSwitch runs in the switch. It prints the interfaces of sandboxes and of
// networks, and what is in the sets of the rules.
func probeSwitch([]string) {
	links, err := netlink.LinkList()
	if err != nil {
		probeFail("list the interfaces", err)
	}
	for _, l := range links {
		fmt.Println("link", l.Attrs().Name)
	}
	conn, err := nftables.New()
	if err != nil {
		probeFail("nftables", err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		probeFail("list the tables", err)
	}
	for _, table := range tables {
		sets, err := conn.GetSets(table)
		if err != nil {
			probeFail("list the sets", err)
		}
		for _, set := range sets {
			if set.Dynamic {
				continue // it forgets by itself, a while after
			}
			elements, err := conn.GetSetElements(set)
			if err != nil {
				probeFail("list a set", err)
			}
			keys := map[string]bool{}
			for _, e := range elements {
				keys[fmt.Sprintf("%x", e.Key)] = true
			}
			for _, key := range slices.Sorted(maps.Keys(keys)) {
				fmt.Println("element", table.Name, set.Name, key)
			}
		}
	}
}

// testNeighbour stands for any, where only the names of forgeries matter.
var testNeighbour = neighbour{net.HardwareAddr{2, 0, 0, 0, 0, 1}, netip.IPv4Unspecified(), netip.IPv6Unspecified()}
