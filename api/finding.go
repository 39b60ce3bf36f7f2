package api

// Level is how well something is that sbx needs of a machine.
type Level string

// Green: nothing is lost. Yellow: sandboxes run, and something is lost. Red: no
// sandbox runs.
const (
	Green  Level = "green"
	Yellow Level = "yellow"
	Red    Level = "red"
)

// Finding is what was found out about one thing that sbx needs of a machine, by
// trying it.
type Finding struct {
	Name  string `json:"name"`
	Level Level  `json:"level"`
	What  string `json:"what"`           // what is there, or why it is not
	Lost  string `json:"lost,omitempty"` // what does not work for that
	Remedy
}

// Remedy is what to do about something that is missing. The same words end the error
// of whatever needs it, and stand in sbx doctor.
type Remedy struct {
	Text string `json:"fix,omitempty"`  // one line, ready to paste where it is a command
	Root string `json:"root,omitempty"` // for sh, by an administrator; lasting; lines
}

// WithRemedy returns e with the remedy as its hint.
func (e *Error) WithRemedy(r Remedy) *Error {
	e.Hint = r.Text
	return e
}

// Lacking is the finding that something is not as it should be. Why is the error of
// trying it; its own hint counts where r says nothing.
func Lacking(level Level, name string, why error, lost string, r Remedy) Finding {
	e := *Wrap(name, "", why)
	if r.Text == "" {
		r.Text = e.Hint
	}
	e.Hint = ""
	return Finding{Name: name, Level: level, What: e.Error(), Lost: lost, Remedy: r}
}
