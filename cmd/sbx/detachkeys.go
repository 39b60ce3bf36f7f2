package main

import (
	"bytes"
	"strings"
)

const defaultDetachKeys = "ctrl-p,ctrl-q"

// parseKeys reads --detach-keys: single characters and ctrl-X, by commas.
func parseKeys(text string) ([]byte, error) {
	if text == "" {
		text = defaultDetachKeys
	}
	var keys []byte
	for _, word := range strings.Split(text, ",") {
		key, ok := parseKey(word)
		if !ok {
			return nil, invalid("--detach-keys", text, "expected characters or ctrl-X, by commas, like "+defaultDetachKeys)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func parseKey(word string) (byte, bool) {
	if len(word) == 1 {
		return word[0], true
	}
	if word == "DEL" {
		return 0x7f, true
	}
	letter, ok := strings.CutPrefix(strings.ToLower(word), "ctrl-")
	if !ok || len(letter) != 1 {
		return 0, false
	}
	switch c := letter[0]; {
	case c >= 'a' && c <= 'z':
		return c - 'a' + 1, true
	case c == '@' || c >= '[' && c <= '_':
		return c &^ 0x40, true
	}
	return 0, false
}

// detacher looks for the detach keys among the keys typed.
type detacher struct {
	keys    []byte
	pending []byte // typed, not passed on: the beginning of keys
}

// feed gives what to pass on. When the keys are complete it says so, and nothing
// more may be fed.
func (d *detacher) feed(typed []byte) (pass []byte, detach bool) {
	for _, b := range typed {
		d.pending = append(d.pending, b)
		for !bytes.HasPrefix(d.keys, d.pending) {
			pass = append(pass, d.pending[0])
			d.pending = d.pending[1:]
		}
		if len(d.pending) == len(d.keys) {
			return pass, true
		}
	}
	return pass, false
}
