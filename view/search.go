package view

import (
	"strconv"
	"strings"

	"sbx/api"
)

// Repository is what a registry has found.
type Repository struct {
	Name        string // HOST/PATH
	Description string
	Stars       int
	Official    bool
	Automated   bool
}

// Search is docker search, in the order given.
//
// The error is an *api.Error and names the placeholder at fault.
func Search(found []Repository, req api.Search) (string, error) {
	s := sheet{
		titles: header{
			"Name": "NAME", "Description": "DESCRIPTION", "StarCount": "STARS", "IsOfficial": "OFFICIAL", "IsAutomated": "AUTOMATED",
		},
		usual: `{{.Name}}\t{{.Description}}\t{{.StarCount}}\t{{.IsOfficial}}`,
	}
	s.raw = s.usual
	rows := make([]any, len(found))
	for i, r := range found {
		rows[i] = &repositoryRow{r: r, trunc: !req.NoTrunc}
	}
	return s.render(rows, req.Format, false)
}

// repositoryRow is one line of search. Its exported methods are Docker's
// placeholders.
type repositoryRow struct {
	r     Repository
	trunc bool
}

func (r *repositoryRow) Name() string        { return Familiar(r.r.Name) }
func (r *repositoryRow) Description() string { return Safe(r.description()) }
func (r *repositoryRow) StarCount() string   { return strconv.Itoa(r.r.Stars) }
func (r *repositoryRow) IsOfficial() string  { return mark(r.r.Official) }
func (r *repositoryRow) IsAutomated() string { return mark(r.r.Automated) }

func (r *repositoryRow) description() string {
	text := strings.NewReplacer("\n", " ", "\r", " ").Replace(r.r.Description)
	if r.trunc {
		return ellipsis(text, 45)
	}
	return text
}

func mark(yes bool) string {
	if yes {
		return "[OK]"
	}
	return ""
}

// MarshalJSON gives the object that docker search --format json prints.
func (r *repositoryRow) MarshalJSON() ([]byte, error) {
	text, err := encode(map[string]string{
		"Name": r.Name(), "Description": r.description(), "StarCount": r.StarCount(),
		"IsOfficial": strconv.FormatBool(r.r.Official), "IsAutomated": strconv.FormatBool(r.r.Automated),
	}, "")
	return []byte(text), err
}
