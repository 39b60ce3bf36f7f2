package view

import (
	"iter"
	"strings"

	"sbx/api"
)

// diffJSON is the only format of diff but Docker's lines, and podman's.
const diffJSON = "json"

// DiffFormat refuses a format that diff does not have.
func DiffFormat(format string) error {
	if format != "" && format != diffJSON {
		return api.Errorf("diff", "--format "+Safe(format), "diff has no templates").WithHint("the only format is json")
	}
	return nil
}

// Diff is what a sandbox has changed, each with Docker's letter A, C or D, in the
// order given.
func Diff(changes iter.Seq2[byte, string], format string) (string, error) {
	if err := DiffFormat(format); err != nil {
		return "", err
	}
	if format == diffJSON {
		return diffObject(changes)
	}
	var b strings.Builder
	for kind, path := range changes {
		b.WriteByte(kind)
		b.WriteByte(' ')
		b.WriteString(Safe(path))
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// diffObject is podman's object.
func diffObject(changes iter.Seq2[byte, string]) (string, error) {
	var o struct {
		Changed []string `json:"changed,omitempty"`
		Added   []string `json:"added,omitempty"`
		Deleted []string `json:"deleted,omitempty"`
	}
	for kind, path := range changes {
		switch kind {
		case 'C':
			o.Changed = append(o.Changed, path)
		case 'A':
			o.Added = append(o.Added, path)
		case 'D':
			o.Deleted = append(o.Deleted, path)
		}
	}
	text, err := encode(&o, "     ")
	return text + "\n", err
}
