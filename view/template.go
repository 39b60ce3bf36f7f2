package view

import (
	"errors"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"sbx/api"
)

// showName is the function that every printed value goes through.
const showName = "_show"

// mostOutput bounds what a template may print. It stays under api.MaxPacket even
// if JSON has to escape each byte of it.
const mostOutput = 8 << 20

// compile parses a --format template. Values that it prints are made harmless;
// its own text (colours, for instance) is the caller's and stays.
func compile(format string) (*template.Template, error) {
	t, err := template.New("format").Funcs(functions()).Parse(format)
	if err != nil {
		return nil, formatError(format, err)
	}
	for _, part := range t.Templates() {
		if part.Tree != nil {
			guard(part.Root)
		}
	}
	return t, nil
}

// guard appends show to every pipeline below n whose value is printed, as
// html/template does with its escapers.
func guard(n parse.Node) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return // an absent else
		}
		for _, child := range n.Nodes {
			guard(child)
		}
	case *parse.ActionNode:
		if len(n.Pipe.Decl) == 0 {
			n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{
				NodeType: parse.NodeCommand,
				Pos:      n.Pos,
				Args:     []parse.Node{parse.NewIdentifier(showName).SetPos(n.Pos)},
			})
		}
	case *parse.IfNode:
		guard(n.List)
		guard(n.ElseList)
	case *parse.RangeNode:
		guard(n.List)
		guard(n.ElseList)
	case *parse.WithNode:
		guard(n.List)
		guard(n.ElseList)
	}
}

// render executes t, which was compiled from format, on data.
func render(t *template.Template, format string, data any) (string, error) {
	var out bounded
	if err := t.Execute(&out, data); err != nil {
		return "", formatError(format, err)
	}
	return out.text.String(), nil
}

// renderOne prints one object by --format: "json", or a template.
func renderOne(data any, format string) (string, error) {
	if format == "json" {
		format = "{{json .}}"
	}
	t, err := compile(format)
	if err != nil {
		return "", err
	}
	text, err := render(t, format, data)
	return text + "\n", err
}

// bounded collects output up to mostOutput.
type bounded struct{ text strings.Builder }

func (b *bounded) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > mostOutput {
		return 0, errors.New("the output is larger than 8 MiB")
	}
	return b.text.Write(p)
}

// formatError says in one line what is wrong with a template. The position and
// the Go types in text/template's messages mean nothing to a user.
func formatError(format string, err error) error {
	msg := err.Error()
	if _, rest, ok := strings.Cut(msg, " at <"); ok {
		msg = "<" + rest
	} else if rest, ok := strings.CutPrefix(msg, "template: format:"); ok {
		msg = "line " + rest
	}
	if i := strings.LastIndex(msg, " in type "); i >= 0 {
		msg = msg[:i]
	}
	return api.Errorf("format", strconv.Quote(format), "%s", Safe(msg))
}
