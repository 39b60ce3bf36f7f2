package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what the run found, as it is written with --json.
type report struct {
	When   time.Time `json:"when"`
	Kernel string    `json:"kernel"`
	CPUs   int       `json:"cpus"`
	Rows   []row     `json:"rows"`
}

// row is one figure. Must and Aim bound Value: from below when Least is set, else
// from above; 0 is no bound.
type row struct {
	Name    string             `json:"name"`
	Value   float64            `json:"value"`
	Unit    string             `json:"unit"` // "x" is a ratio to the peer
	Must    float64            `json:"must,omitempty"`
	Aim     float64            `json:"aim,omitempty"`
	Least   bool               `json:"least,omitempty"`
	Medians map[string]float64 `json:"medians,omitempty"` // ms, or starts per second
	Samples int                `json:"samples,omitempty"`
	Error   string             `json:"error,omitempty"`
}

func newReport() report {
	r := report{When: time.Now().UTC().Truncate(time.Second), CPUs: runtime.NumCPU()}
	if v, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		r.Kernel = strings.TrimSpace(string(v))
	}
	return r
}

func (r *report) add(x row) { r.Rows = append(r.Rows, x) }

func (r *report) fail(name string, err error) { r.add(row{Name: name, Error: err.Error()}) }

func (x row) within(bound float64) bool {
	return bound == 0 || (x.Least && x.Value >= bound) || (!x.Least && x.Value <= bound)
}

func (x row) verdict() string {
	switch {
	case x.Error != "":
		return "MISS"
	case x.Must == 0:
		return "-"
	case !x.within(x.Must):
		return "MISS"
	case x.Aim != 0 && x.within(x.Aim):
		return "OK, aim reached"
	}
	return "OK"
}

func (r *report) missed() bool {
	return slices.ContainsFunc(r.Rows, func(x row) bool { return x.verdict() == "MISS" })
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "\nLinux %s, %d CPUs, %s\n\n", r.Kernel, r.CPUs, r.When.Format(time.RFC3339))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHAT\tFIGURE\tMUST\tAIM\tVERDICT\tMEDIANS")
	for _, x := range r.Rows {
		if x.Error != "" {
			fmt.Fprintf(t, "%s\t\t\t\tMISS\t%s\n", x.Name, x.Error)
			continue
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", x.Name, figure(x.Value, x.Unit), x.bound(x.Must), x.bound(x.Aim), x.verdict(), x.medians())
	}
	t.Flush()
}

func figure(v float64, unit string) string {
	if unit == "x" {
		return fmt.Sprintf("%.2fx", v)
	}
	return fmt.Sprintf("%.2f %s", v, unit)
}

func (x row) bound(v float64) string {
	switch {
	case v == 0:
		return ""
	case x.Least:
		return ">= " + figure(v, x.Unit)
	}
	return "<= " + figure(v, x.Unit)
}

func (x row) medians() string {
	names := make([]string, 0, len(x.Medians))
	for name := range x.Medians {
		names = append(names, name)
	}
	slices.Sort(names)
	for i, name := range names {
		names[i] = fmt.Sprintf("%s %.2f", name, x.Medians[name])
	}
	s := strings.Join(names, ", ")
	if x.Samples > 0 {
		s += fmt.Sprintf(" (n=%d)", x.Samples)
	}
	return s
}
