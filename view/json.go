package view

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf16"
)

// encode is JSON as Docker prints it: <, > and & as they are, no final newline.
// An empty indent gives one line.
func encode(v any, indent string) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	return safeJSON(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

// safeJSON escapes what encoding/json leaves alone in strings: DEL, the C1
// controls and the invisible characters. Outside strings JSON has only ASCII and
// the newlines of the indentation.
func safeJSON(data []byte) string {
	var b bytes.Buffer
	for _, r := range string(data) {
		switch {
		case r == '\n' || strconv.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}
