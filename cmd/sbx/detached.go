package main

import (
	"sbx/api"
)

// untilStarted is converse for a program that stays behind: it ends when the
// program has started.
func (c *session) untilStarted(verb string, body any) error {
	conn, err := request(verb, body)
	if err != nil {
		return withCode(err)
	}
	defer conn.Close()
	show := progress{w: c.s.err, verb: api.VerbPull}
	defer show.finish()
	for {
		p, err := conn.Recv()
		if err != nil {
			return withCode(lost(err))
		}
		p.CloseFiles()
		switch p.Kind {
		case api.KindOut, api.KindErr:
			show.settle()
			err = printText(c.s, p)
		case api.KindProgress:
			err = show.report(p)
		case api.KindStarted:
			show.finish()
			var started api.Started
			if err = p.Decode(&started); err == nil && c.started != nil {
				err = c.started(started.ID)
			}
			return withCodeOrNil(err)
		case api.KindExited, api.KindDone:
			var done api.Done
			if err = p.Decode(&done); err == nil && done.Code != 0 {
				err = exitStatus(done.Code)
			}
			return err
		case api.KindFault:
			err = faultOf(p)
		default:
			err = api.Errorf("talk to the supervisor", "", "it answers with %q", p.Kind)
		}
		if err != nil {
			return withCode(err)
		}
	}
}
