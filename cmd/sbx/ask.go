package main

import (
	"errors"
	"io"
	"os"
	"strings"

	"sbx/api"
	"sbx/internal/dirs"
)

// ask sends a request, prints what comes back, and gives the final answer. An
// exit status other than 0 is an exitStatus.
func ask(s streams, verb string, body any, files ...*os.File) (api.Done, error) {
	return askWhile(s, func() {}, verb, body, files...)
}

// askWhile calls before ahead of anything that is printed.
func askWhile(s streams, before func(), verb string, body any, files ...*os.File) (api.Done, error) {
	conn, err := request(verb, body, files...)
	if err != nil {
		return api.Done{}, err
	}
	defer conn.Close()
	done, err := answer(s, conn, verb, before)
	before()
	if err != nil {
		return done, err
	}
	if err := printDone(s, done); err != nil {
		return done, err
	}
	if done.Code != 0 {
		return done, exitStatus(done.Code)
	}
	return done, nil
}

// answer reads until done.
func answer(s streams, conn *api.Conn, verb string, before func()) (api.Done, error) {
	var done api.Done
	show := progress{w: s.err, verb: verb}
	defer show.finish()
	for {
		p, err := conn.Recv()
		if err != nil {
			return done, lost(err)
		}
		p.CloseFiles()
		switch p.Kind {
		case api.KindOut, api.KindErr:
			before()
			show.settle()
			err = printText(s, p)
		case api.KindProgress:
			before()
			err = show.report(p)
		case api.KindFault:
			return done, faultOf(p)
		case api.KindDone:
			if len(p.Body) == 0 {
				return done, nil
			}
			return done, p.Decode(&done)
		default:
			err = api.Errorf("talk to the supervisor", "", "it answers with %q", p.Kind)
		}
		if err != nil {
			return done, err
		}
	}
}

// lostError is a connection that ended before the answer.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

func isLost(err error) bool {
	var e lostError
	return errors.As(err, &e)
}

// lost explains the end of a connection; other errors pass.
func lost(err error) error {
	if !errors.Is(err, io.EOF) {
		return err
	}
	e := api.Errorf("wait for the answer", "", "the supervisor died before it answered")
	if d, err := dirs.Find(); err == nil {
		e.Hint = "see " + d.Log()
	}
	return lostError{e}
}

func faultOf(p *api.Packet) error {
	if p.Error != nil {
		return p.Error
	}
	return api.Errorf("talk to the supervisor", "", "it reports a fault without saying which")
}

// printText prints what the supervisor has made safe for a terminal already.
func printText(s streams, p *api.Packet) error {
	var text api.Text
	if err := p.Decode(&text); err != nil {
		return err
	}
	w := s.out
	if p.Kind == api.KindErr {
		w = s.err
	}
	_, err := w.WriteString(text.Text)
	return err
}

// printDone prints the text of the final answer as a line.
func printDone(s streams, done api.Done) error {
	if done.Text == "" {
		return nil
	}
	_, err := s.out.WriteString(strings.TrimSuffix(done.Text, "\n") + "\n")
	return err
}
