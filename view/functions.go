package view

import (
	"fmt"
	"reflect"
	"strings"
	"text/template"
	"unicode"
	"unicode/utf8"
)

// functions are what Docker adds to Go's template functions, and show, which
// every printed value goes through.
func functions() template.FuncMap {
	return template.FuncMap{
		"json":     func(v any) (string, error) { return encode(v, "") },
		"join":     join,
		"lower":    strings.ToLower,
		"upper":    strings.ToUpper,
		"split":    strings.Split,
		"title":    title,
		"pad":      pad,
		"truncate": truncate,
		showName:   show,
	}
}

// headerFunctions leave the titles of a table as they are.
func headerFunctions() template.FuncMap {
	return template.FuncMap{
		"json":     func(v any) any { return v },
		"lower":    func(s string) string { return s },
		"upper":    func(s string) string { return s },
		"title":    func(s string) string { return s },
		"truncate": func(s string, _ int) string { return s },
	}
}

// show prints v as a template does, harmless for a terminal.
func show(v any) string {
	if v == nil {
		return "<no value>"
	}
	if p := reflect.ValueOf(v); p.Kind() == reflect.Pointer && !p.IsNil() {
		v = p.Elem().Interface()
	}
	return SafeLines(fmt.Sprint(v))
}

// join takes []string as strings.Join does, and the []any that decoded JSON has.
func join(elems any, sep string) (string, error) {
	list := reflect.ValueOf(elems)
	if !list.IsValid() {
		return "", nil
	}
	if list.Kind() != reflect.Slice {
		return "", fmt.Errorf("%T is not a list", elems)
	}
	parts := make([]string, list.Len())
	for i := range parts {
		parts[i] = fmt.Sprint(list.Index(i).Interface())
	}
	return strings.Join(parts, sep), nil
}

// title is strings.Title: the first letter of each word in upper case.
func title(s string) string {
	prev := ' '
	return strings.Map(func(r rune) rune {
		word := unicode.IsLetter(prev) || unicode.IsDigit(prev) || prev == '_' || prev == '\''
		if prev = r; word {
			return r
		}
		return unicode.ToTitle(r)
	}, s)
}

// pad puts spaces around s, unless it is empty.
func pad(s string, left, right int) (string, error) {
	const most = 4096
	if left < 0 || right < 0 || left > most || right > most {
		return "", fmt.Errorf("padding must be 0 to %d", most)
	}
	if s == "" {
		return "", nil
	}
	return strings.Repeat(" ", left) + s + strings.Repeat(" ", right), nil
}

// truncate keeps the first n bytes, less when the last character would be cut.
func truncate(s string, n int) (string, error) {
	if n < 0 {
		return "", fmt.Errorf("length %d is negative", n)
	}
	if len(s) <= n {
		return s, nil
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n], nil
}
