package view

import (
	"strconv"

	"github.com/docker/go-units"

	"sbx/api"
)

// Usage is what a sandbox uses. What could not be measured is nil.
type Usage struct {
	Asked       string // the name that was asked for, or the id
	ID, Name    string
	CPU         *float64 // percent of one processor
	Memory      *uint64  // bytes, without what the kernel can take back at once
	MemoryLimit uint64   // bytes: its own limit, or what the machine has
	Net, Block  *Traffic
	Tasks       *uint64 // processes and threads
}

// Traffic is what went in and out, in bytes.
type Traffic struct{ In, Out uint64 }

// nothingKnown stands for what was not measured, as in Docker.
const nothingKnown = "--"

const statsUsual = `{{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}`

// Stats is docker stats at one moment: a table, JSON lines, or by a template.
//
// The error is an *api.Error and names the placeholder at fault.
func Stats(list []Usage, req api.Stats) (string, error) {
	s := sheet{
		titles: header{
			"Container": "CONTAINER", "ID": "CONTAINER ID", "Name": "NAME", "CPUPerc": "CPU %", "MemUsage": "MEM USAGE / LIMIT",
			"MemPerc": "MEM %", "NetIO": "NET I/O", "BlockIO": "BLOCK I/O", "PIDs": "PIDS",
		},
		usual: statsUsual, raw: statsUsual,
	}
	rows := make([]any, len(list))
	for i := range list {
		rows[i] = &usageRow{u: &list[i], trunc: !req.NoTrunc}
	}
	return s.render(rows, req.Format, false)
}

// usageRow is one line of stats. Its exported methods are Docker's placeholders.
type usageRow struct {
	u     *Usage
	trunc bool
}

func (r *usageRow) Container() string { return Safe(r.u.Asked) }
func (r *usageRow) Name() string      { return Safe(r.u.Name) }

func (r *usageRow) ID() string {
	if r.trunc {
		return Safe(shortID(r.u.ID))
	}
	return Safe(r.u.ID)
}

func (r *usageRow) CPUPerc() string {
	if r.u.CPU == nil {
		return nothingKnown
	}
	return percent(*r.u.CPU)
}

func (r *usageRow) MemUsage() string {
	if r.u.Memory == nil {
		return nothingKnown + " / " + nothingKnown
	}
	return units.BytesSize(float64(*r.u.Memory)) + " / " + units.BytesSize(float64(r.u.MemoryLimit))
}

func (r *usageRow) MemPerc() string {
	switch {
	case r.u.Memory == nil:
		return nothingKnown
	case r.u.MemoryLimit == 0:
		return percent(0)
	}
	return percent(float64(*r.u.Memory) / float64(r.u.MemoryLimit) * 100)
}

func (r *usageRow) NetIO() string   { return r.u.Net.text() }
func (r *usageRow) BlockIO() string { return r.u.Block.text() }

func (r *usageRow) PIDs() string {
	if r.u.Tasks == nil {
		return nothingKnown
	}
	return strconv.FormatUint(*r.u.Tasks, 10)
}

// MarshalJSON gives the object that docker stats --format json prints.
func (r *usageRow) MarshalJSON() ([]byte, error) {
	text, err := encode(map[string]string{
		"Container": r.u.Asked, "ID": r.ID(), "Name": r.Name(), "CPUPerc": r.CPUPerc(), "MemUsage": r.MemUsage(),
		"MemPerc": r.MemPerc(), "NetIO": r.NetIO(), "BlockIO": r.BlockIO(), "PIDs": r.PIDs(),
	}, "")
	return []byte(text), err
}

func (t *Traffic) text() string {
	if t == nil {
		return nothingKnown
	}
	return units.HumanSizeWithPrecision(float64(t.In), 3) + " / " + units.HumanSizeWithPrecision(float64(t.Out), 3)
}

func percent(n float64) string { return strconv.FormatFloat(n, 'f', 2, 64) + "%" }
