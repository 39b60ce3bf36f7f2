package main

import (
	"errors"
	"strconv"
	"time"
)

// keepIDs measures the first start of an image with --userns keep-id beside later ones.
// Each round takes another uid, so that the image has not been shown with those owners
// before.
func (b *bench) keepIDs() error {
	n := b.n(60)
	start := func(flags ...string) subject {
		return b.sbx(append(append([]string{"run", "--rm", "--network", "none"}, flags...), image, "true")...)
	}
	all := map[string][]time.Duration{}
	for round := range n {
		kept := start("--userns", "keep-id:uid="+strconv.Itoa(10_000+round))
		for _, s := range []struct {
			name string
			subject
		}{{"first", kept}, {"second", kept}, {"later", kept}, {"private", start()}} {
			took, err := once(s.subject)
			if err != nil {
				return err
			}
			all[s.name] = append(all[s.name], took)
		}
		if time.Now().After(b.deadline) {
			return errors.New("out of time")
		}
	}
	m := map[string]float64{}
	for name, times := range all {
		m[name] = ms(median(times))
	}
	b.report.add(row{Name: "run --rm --userns keep-id: first start more than later ones", Unit: "ms", Must: 15, Aim: 5,
		Value: m["first"] - m["later"], Medians: m, Samples: n})
	return nil
}
