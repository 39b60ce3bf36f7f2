package view

import (
	"strings"
	"text/template"
	"time"

	"sbx/api"
)

const (
	listQuiet = `{{.ID}}`
	listRaw   = `container_id: {{.ID}}\nimage: {{.Image}}\ncommand: {{.Command}}\ncreated_at: {{.CreatedAt}}\n` +
		`state: {{.State}}\nstatus: {{.Status}}\nnames: {{.Names}}\nlabels: {{.Labels}}\nports: {{.Ports}}\n`
)

// List is docker ps: the sandboxes that the request selects, newest first, as a
// table, JSON lines, or by a template. Size, in the request or in the template,
// reads the upper directory of every sandbox shown.
//
// The error is an *api.Error and names the filter or the placeholder at fault.
func List(all []api.Sandbox, req api.List, now time.Time) (string, error) {
	boxes, err := choose(all, req)
	if err != nil {
		return "", err
	}
	rows := make([]row, len(boxes))
	for i, box := range boxes {
		rows[i] = row{box: box, trunc: !req.NoTrunc, size: req.Size, now: now}
	}
	if !req.Quiet && (req.Format == "" || req.Format == "table") {
		return listTable(rows, req.Size)
	}
	return listTemplate(rows, req)
}

// listTable is the table that most calls of ps want. A template would cost more
// than all the rest of ps.
func listTable(rows []row, size bool) (string, error) {
	var b strings.Builder
	line := func(cells ...string) { b.WriteString(strings.Join(cells, "\t") + "\n") }
	titles := []string{"CONTAINER ID", "IMAGE", "COMMAND", "CREATED", "STATUS", "PORTS", "NAMES"}
	if size {
		titles = append(titles, "SIZE")
	}
	line(titles...)
	for i := range rows {
		r := &rows[i]
		cells := []string{r.ID(), r.Image(), r.Command(), r.RunningFor(), r.Status(), r.Ports(), r.Names()}
		if size {
			written, err := r.Size()
			if err != nil {
				return "", err
			}
			cells = append(cells, written)
		}
		line(cells...)
	}
	return tabulate(b.String(), 10, 3), nil
}

func listTemplate(rows []row, req api.List) (string, error) {
	format, table := listFormat(req)
	t, err := compile(format)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if table {
		line, err := renderHeader(t, format)
		if err != nil {
			return "", err
		}
		b.WriteString(line + "\n")
	}
	for i := range rows {
		line, err := render(t, format, &rows[i])
		if err != nil {
			return "", err
		}
		b.WriteString(line + "\n")
	}
	if table {
		return tabulate(b.String(), 10, 3), nil
	}
	return b.String(), nil
}

// listFormat is the template that --format and --quiet mean, and whether it
// makes a table. Docker lets --quiet win, and reads \t and \n in templates.
func listFormat(req api.List) (format string, table bool) {
	switch {
	case req.Quiet:
		return listQuiet, false
	case req.Format == "json":
		return "{{json .}}", false
	case req.Format == "raw":
		format = listRaw
		if req.Size {
			format += `size: {{.Size}}\n`
		}
	default:
		format, table = strings.CutPrefix(req.Format, "table ")
	}
	format = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(strings.Trim(format, " "))
	return format, table
}

// renderHeader executes the rows' template on the titles. A placeholder that has
// no title does not exist.
func renderHeader(t *template.Template, format string) (string, error) {
	t, err := t.Clone()
	if err != nil {
		return "", err
	}
	return render(t.Funcs(headerFunctions()).Option("missingkey=error"), format, newHeader())
}
