package main

import (
	"strings"

	"sbx/api"
)

// collect sends a request and gives what comes back for standard output. What
// comes for standard error is the error.
func collect(verb string, body any) (string, error) {
	conn, err := request(verb, body)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return collectFrom(conn)
}

func collectFrom(conn *api.Conn) (string, error) {
	var out, errs strings.Builder
	for {
		p, err := conn.Recv()
		if err != nil {
			return "", lost(err)
		}
		p.CloseFiles()
		var text api.Text
		var done api.Done
		switch p.Kind {
		case api.KindOut:
			err = p.Decode(&text)
			out.WriteString(text.Text)
		case api.KindErr:
			err = p.Decode(&text)
			errs.WriteString(text.Text)
		case api.KindFault:
			err = faultOf(p)
		case api.KindDone:
			if len(p.Body) > 0 {
				err = p.Decode(&done)
			}
			if err != nil {
				return "", err
			}
			out.WriteString(done.Text)
			if done.Code != 0 {
				return "", failure(done.Code, errs.String())
			}
			return out.String(), nil
		}
		if err != nil {
			return "", err
		}
	}
}

// failure makes an error of what a supervisor printed about it.
func failure(code int, text string) error {
	text = strings.TrimPrefix(strings.TrimSpace(text), "sbx: ")
	if text == "" {
		return exitStatus(code)
	}
	return &faultError{plainError(text), code}
}

// plainError is an error that is just its text.
type plainError string

func (e plainError) Error() string { return string(e) }
