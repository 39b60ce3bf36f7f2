package view

import (
	"strconv"
	"strings"
	"time"

	"sbx/api"
)

// HistoryStep is one step in the making of an image.
type HistoryStep struct {
	ID        string    // of the image, hex; empty where there is none of its own
	Created   time.Time // zero: not known
	CreatedBy string
	Comment   string
	Size      int64 // bytes, uncompressed
}

const (
	missing      = "<missing>"
	historyUsual = `{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}`
	historyExact = `{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}`
)

// History is docker history: the steps in the order given, latest first.
//
// The error is an *api.Error and names the placeholder at fault.
func History(steps []HistoryStep, req api.History, now time.Time) (string, error) {
	s := sheet{
		titles: header{
			"ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY",
			"Size": "SIZE", "Comment": "COMMENT",
		},
		usual: historyUsual, raw: historyUsual, quiet: listQuiet,
	}
	if !req.Human {
		s.usual = historyExact
	}
	rows := make([]any, len(steps))
	for i, step := range steps {
		rows[i] = &historyRow{step: step, human: req.Human, trunc: !req.NoTrunc, now: now}
	}
	return s.render(rows, req.Format, req.Quiet)
}

// historyRow is one line of history. Its exported methods are Docker's
// placeholders.
type historyRow struct {
	step         HistoryStep
	human, trunc bool
	now          time.Time
}

func (r *historyRow) ID() string {
	if r.step.ID == "" {
		return missing
	}
	return imageID(r.step.ID, r.trunc)
}

func (r *historyRow) CreatedAt() string {
	if r.step.Created.IsZero() {
		return "N/A"
	}
	return time.Unix(r.step.Created.Unix(), 0).Format(time.RFC3339)
}

func (r *historyRow) CreatedSince() string {
	if !r.human || r.step.Created.IsZero() {
		return r.CreatedAt()
	}
	return since(r.step.Created, r.now) + " ago"
}

func (r *historyRow) CreatedBy() string { return Safe(r.createdBy()) }

func (r *historyRow) createdBy() string {
	by := strings.ReplaceAll(r.step.CreatedBy, "\t", " ")
	if r.trunc {
		return ellipsis(by, 45)
	}
	return by
}

func (r *historyRow) Size() string {
	if r.human {
		return HumanSize(r.step.Size)
	}
	return strconv.FormatInt(r.step.Size, 10)
}

func (r *historyRow) Comment() string { return Safe(r.step.Comment) }

// MarshalJSON gives the object that docker history --format json prints.
func (r *historyRow) MarshalJSON() ([]byte, error) {
	text, err := encode(map[string]string{
		"ID": r.ID(), "CreatedSince": r.CreatedSince(), "CreatedAt": r.CreatedAt(), "CreatedBy": r.createdBy(),
		"Size": r.Size(), "Comment": r.step.Comment,
	}, "")
	return []byte(text), err
}
