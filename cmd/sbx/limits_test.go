package main

import (
	"encoding/json"
	"strings"
	"testing"

	"sbx/api"
)

// TestLimitFlags: what the flags make of a Spec's limits, as they travel.
func TestLimitFlags(t *testing.T) {
	for args, want := range map[string]string{
		"-m 512m":                             `{"memory":536870912}`,
		"--memory=1.5g --memory-swap -1":      `{"memory":1610612736,"memory_swap":-1}`,
		"-m 1g --memory-swap 2GiB":            `{"memory":1073741824,"memory_swap":2147483648}`,
		"--memory-reservation 6m":             `{"memory_reservation":6291456}`,
		"--cpus 1.5":                          `{"nano_cpus":1500000000}`,
		"--cpus .1":                           `{"nano_cpus":100000000}`,
		"--cpus 0.000000001":                  `{"nano_cpus":1}`,
		"-c 512 --cpu-quota -1":               `{"cpu_shares":512,"cpu_quota":-1}`,
		"--cpu-quota 50000 --cpu-period 1000": `{"cpu_quota":50000,"cpu_period":1000}`,
		"--cpuset-cpus 0-3,7 --cpuset-mems 0": `{"cpuset_cpus":"0-3,7","cpuset_mems":"0"}`,
		"--pids-limit 100":                    `{"pids_limit":100}`,
		"--blkio-weight 10 --device-read-bps /dev/sda:1mb --device-read-bps /dev/disk/by-path/pci:0:2": `{"blkio_weight":10,"device_read_bps":[{"path":"/dev/sda","rate":1048576},{"path":"/dev/disk/by-path/pci:0","rate":2}]}`,
		"--device-write-bps /dev/sda:1 --device-read-iops /dev/sda:2 --device-write-iops /dev/sda:3":   `{"device_write_bps":[{"path":"/dev/sda","rate":1}],"device_read_iops":[{"path":"/dev/sda","rate":2}],"device_write_iops":[{"path":"/dev/sda","rate":3}]}`,
		"--oom-score-adj -5": `{"oom_score_adj":-5}`,
		"--oom-score-adj 0":  `{"oom_score_adj":0}`,
		"--shm-size 1g":      `{"shm_size":1073741824}`,
		"--cgroup-parent batch/night --cgroupns host -m0": `{"cgroup_parent":"batch/night","cgroupns":"host"}`,
	} {
		got, err := parseSpec(t, append(strings.Fields(args), "img")...)
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		var limits api.Limits
		if err := json.Unmarshal([]byte(want), &limits); err != nil {
			t.Fatal(err)
		}
		if g, w := asJSON(t, got.Limits), asJSON(t, limits); g != w {
			t.Errorf("%s:\n got %s\nwant %s", args, g, w)
		}
	}
}

func TestLimitRefusals(t *testing.T) {
	h := newHome(t)
	for args, want := range map[string]string{
		"run -m lots img":                          `run: --memory "lots": expected a size like 64m`,
		"run -m -1 img":                            `run: --memory "-1": expected a size like 64m`,
		"create --memory-swap -2 img":              `create: --memory-swap "-2": expected a size like 64m`,
		"run --shm-size x img":                     `run: --shm-size "x": expected a size like 64m`,
		"run --cpus two img":                       `run: --cpus "two": expected a number of processors like 1.5`,
		"run --cpus -1 img":                        `run: --cpus "-1": expected a number of processors like 1.5`,
		"run --cpus . img":                         `run: --cpus ".": expected a number of processors like 1.5`,
		"run --cpus 1.0000000001 img":              `run: --cpus "1.0000000001": more than nine decimals`,
		"run --device-read-bps sda:1m img":         `run: --device-read-bps "sda:1m": expected /dev/NAME:RATE`,
		"run --device-read-bps /dev/sda img":       `run: --device-read-bps "/dev/sda": expected /dev/NAME:RATE`,
		"run --device-write-iops /dev/sda:1m img":  `run: --device-write-iops "/dev/sda:1m": "1m" is no rate`,
		"run --memory-swappiness 10 img":           `run: --memory-swappiness is not supported yet: cgroup v2 has one swappiness for the whole machine: vm.swappiness`,
		"run --oom-kill-disable img":               `run: --oom-kill-disable is not supported yet: cgroup v2 cannot stop a program that is out of memory instead of killing it`,
		"update --blkio-weight-device /dev/sda:10": `update: --blkio-weight-device is not supported yet: sbx sets one weight for all devices: --blkio-weight`,
		"update --cpus 0 box":                      `update: --cpus "0": it can be changed, and not taken away`,
		"update box":                               "update: says nothing that is to change: give a flag\nSee 'sbx update --help'.",
	} {
		got := h.sbx(strings.Fields(args)...)
		if got.err != "sbx: "+want+"\n" || got.code == 0 || got.out != "" {
			t.Errorf("%s:\n got %q, status %d\nwant %q", args, got.err, got.code, want)
		}
	}
}

func TestUsageRequests(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		return conn.Send(api.KindDone, api.Done{Text: p.Kind + " " + string(p.Body)})
	})
	for words, want := range map[string]string{
		"pause a b":                       `pause {"names":["a","b"]}`,
		"container unpause a":             `unpause {"names":["a"]}`,
		"update -m 1m --cpus 2 a b":       `update {"names":["a","b"],"limits":{"memory":1048576,"nano_cpus":2000000000}}`,
		"update --restart no a":           `update {"names":["a"],"restart":{}}`,
		"update --restart on-failure:2 a": `update {"names":["a"],"restart":{"name":"on-failure","max":2}}`,
		"update -m 0 --pids-limit 0 a":    `update {"names":["a"],"limits":{"memory":-1,"pids_limit":-1}}`,
		"stats":                           `stats {}`,
		"stats -a --no-stream a":          `stats {"names":["a"],"all":true,"no_stream":true}`,
		"stats --no-trunc --format json":  `stats {"no_trunc":true,"format":"json"}`,
	} {
		h.sbx(strings.Fields(words)...).want(t, result{out: want + "\n"})
	}
}

// TestStatsScreen: each text takes the place of the last, and what does not fit is
// not shown.
func TestStatsScreen(t *testing.T) {
	h := newHome(t)
	h.fake(func(conn *api.Conn, p *api.Packet) error {
		for _, text := range []string{"TITLE\nfirst\nlonger than the screen is\nfourth\n", "TITLE\nsecond\n"} {
			if err := conn.Send(api.KindOut, api.Text{Text: text}); err != nil {
				return err
			}
		}
		return conn.Send(api.KindDone, api.Done{})
	})
	s := h.screenWith(api.Size{Rows: 4, Cols: 11}, []string{"TERM=xterm"}, "stats")
	const end = "\x1b[K\r\n"
	if got, want := s.until("\x1b[J"), "\x1b[2J\x1b[HTITLE"+end+"first"+end+"longer tha"+end+"\x1b[J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := s.until("\x1b[J"), "\x1b[HTITLE"+end+"second"+end+"\x1b[J"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s.ends(0)
}
