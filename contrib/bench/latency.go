package main

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"time"
)

// requests measures connections of one request each, with the server in a sandbox
// and with the same server without one.
func (b *bench) requests() error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	go serveOn(l)
	names, addrs := []string{"loopback"}, []string{l.Addr().String()}
	sides := b.sides()
	for _, s := range sides {
		server, err := s.probe(s.name+"-server", "serve", "-p", "127.0.0.1::"+probePort)
		if err != nil {
			return err
		}
		if _, err := once(server); err != nil {
			return err
		}
		at, err := b.says(s.do("port", s.name+"-server", probePort))
		if err != nil {
			return err
		}
		if err := awaitServer(at); err != nil {
			return err
		}
		names, addrs = append(names, s.name), append(addrs, at)
	}
	n := b.n(2000)
	times := map[string][]time.Duration{}
	for round := range n {
		for k := range names {
			k = (k + round) % len(names)
			start := time.Now()
			if err := request(addrs[k]); err != nil {
				return fmt.Errorf("%s: %w", names[k], err)
			}
			times[names[k]] = append(times[names[k]], time.Since(start))
		}
	}
	m := map[string]float64{}
	for name, all := range times {
		m[name] = ms(median(all))
	}
	r := row{Must: 1, Aim: 0.6}
	peer, name := best(m, false, podmanBridge, podmanPasta, podmanSlirp)
	if name == "" {
		peer, name, r = m["loopback"], "plain loopback", row{}
	}
	r.Name, r.Unit, r.Value, r.Medians, r.Samples = "request through a published port, to "+name, "x", m["sbx"]/peer, m, n
	b.report.add(r)
	for _, s := range sides {
		if err := s.remove(s.name + "-server"); err != nil {
			return err
		}
	}
	return nil
}

// awaitServer waits until the server answers, and makes it warm.
func awaitServer(addr string) error {
	var err error
	for good, end := 0, time.Now().Add(10*time.Second); good < 10; {
		if err = request(addr); err == nil {
			good++
		} else if time.Now().After(end) {
			return err
		} else {
			time.Sleep(50 * time.Millisecond)
		}
	}
	return nil
}

func request(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && !strings.HasPrefix(line, "HTTP/1.0 200") {
		err = fmt.Errorf("%s answers %q", addr, line)
	}
	return err
}

func serveAt(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return serveOn(l)
}

// serveOn answers every request with the same.
func serveOn(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			r := bufio.NewReader(c)
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if strings.TrimSpace(line) == "" {
					break
				}
			}
			// Who asked may have gone.
			_, _ = fmt.Fprint(c, "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
		}()
	}
}
