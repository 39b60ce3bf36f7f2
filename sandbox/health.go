package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sbx/api"
	"sbx/sandbox/monitor"
)

// How much of the checks is kept, as in Docker.
const (
	healthResults = 5
	healthOutput  = 4096                   // bytes of each
	healthGrace   = 100 * time.Millisecond // for output that somebody else still holds open
)

// health is what the checks of a program have found. It is kept in the runtime
// directory, for the next supervisor. The supervisor's lock guards it.
type health struct{ api.HealthState }

// view is a copy; nil for a sandbox without checks.
func (h *health) view() *api.HealthState {
	if h == nil {
		return nil
	}
	state := h.HealthState
	state.Log = slices.Clone(state.Log)
	return &state
}

// add takes a result in, by Docker's rules, and says whether the status is another
// one now. ran is how long the program had run when the check began.
func (h *health) add(c *api.Health, result api.HealthResult, ran time.Duration) (changed bool) {
	before := h.Status
	h.Log = append(h.Log, result)
	h.Log = h.Log[max(0, len(h.Log)-healthResults):]
	switch {
	case result.ExitCode == 0:
		h.FailingStreak, h.Status = 0, api.Healthy
	case h.Status == api.Starting && ran < c.StartPeriod:
		// It need not work yet.
	default:
		h.FailingStreak++
		if h.FailingStreak >= orDefault(c.Retries, api.HealthRetries) {
			h.Status = api.Unhealthy
		}
	}
	return h.Status != before
}

func orDefault[T int | time.Duration](v, usual T) T {
	if v <= 0 {
		return usual
	}
	return v
}

// pause is the time until the next check.
func (h *health) pause(c *api.Health, ran time.Duration) time.Duration {
	if h.Status == api.Starting && ran < c.StartPeriod {
		return orDefault(c.StartInterval, api.HealthStartInterval)
	}
	return orDefault(c.Interval, api.HealthInterval)
}

// watchHealth begins to check a program that has just started, if there is a check.
// The caller holds the lock.
func (s *Supervisor) watchHealth(b *box) {
	b.health = nil
	if b.config.Health.Enabled() {
		b.health = &health{api.HealthState{Status: api.Starting, Log: []api.HealthResult{}}}
		go s.checkOn(b, b.health, b.link, b.ended)
	}
}

// resumeHealth goes on where the last supervisor has left.
func (s *Supervisor) resumeHealth(b *box) {
	if b.status.State != api.Running || !b.config.Health.Enabled() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := b.notOlder("check the health of"); err != nil {
		s.Log.Warn("take over a sandbox", "error", err)
		return
	}
	s.watchHealth(b)
	var last api.HealthState
	err := readJSON(s.healthFile(b), &last)
	switch {
	case err == nil:
		b.health.HealthState = last
	case !errors.Is(err, os.ErrNotExist):
		s.Log.Warn("read the state of health", "id", shortID(b.config.ID), "error", err)
	}
}

func (s *Supervisor) healthFile(b *box) string {
	return filepath.Join(s.Dirs.RunOf(b.config.ID), "health.json")
}

// healthEnded is called with the lock held: what does not run is not healthy.
func (b *box) healthEnded() {
	if b.health != nil {
		b.health.Status = api.Unhealthy
	}
}

// checkOn checks a program from time to time until it has ended.
func (s *Supervisor) checkOn(b *box, h *health, l *link, ended <-chan struct{}) {
	for {
		s.mu.Lock()
		c := b.config.Health
		pause := h.pause(&c, time.Since(b.status.StartedAt))
		s.mu.Unlock()
		timer := time.NewTimer(pause)
		select {
		case <-ended:
			timer.Stop()
			return
		case <-s.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		s.mu.Lock()
		paused := b.paused
		s.mu.Unlock()
		if paused {
			continue
		}
		result := s.check(b, l)
		select {
		case <-ended:
			return // the end of the program was the end of the check
		default:
			s.checked(b, h, l, result)
		}
	}
}

// checked records a result, and acts on a change for the worse.
func (s *Supervisor) checked(b *box, h *health, l *link, result api.HealthResult) {
	s.mu.Lock()
	changed := h.add(&b.config.Health, result, result.Start.Sub(b.status.StartedAt))
	state, action, id := *h.view(), b.config.Health.OnFailure, b.config.ID
	if changed {
		s.note(&b.config, "health_status: "+state.Status)
	}
	s.mu.Unlock()
	err := writeJSON(s.healthFile(b), &state, false)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // it has just ended
		s.Log.Warn("save the state of health", "id", shortID(id), "error", err)
	}
	if !changed || state.Status != api.Unhealthy {
		return
	}
	switch action {
	case api.OnFailureKill:
		err = s.signal(l, b, unix.SIGKILL)
	case api.OnFailureStop:
		err = s.stop(s.ctx, id, &api.Stop{}, false)
	case api.OnFailureRestart:
		err = s.restart(s.ctx, id, &api.Stop{}, nil)
	default:
		return
	}
	if err != nil {
		s.Log.Warn(action+" an unhealthy sandbox", "id", shortID(id), "error", err)
	}
}

// check runs the check of a sandbox once.
func (s *Supervisor) check(b *box, l *link) api.HealthResult {
	result := api.HealthResult{Start: time.Now().UTC(), ExitCode: -1}
	code, output, err := s.runCheck(b, l)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		result.Output = fmt.Sprintf("Health check exceeded timeout (%v)", orDefault(b.config.Health.Timeout, api.HealthTimeout))
		if output != "" {
			result.Output += ": " + output
		}
	case err != nil:
		result.Output = err.Error()
	default:
		result.ExitCode, result.Output = code, output
	}
	result.End = time.Now().UTC()
	return result
}

// runCheck is an exec whose client the supervisor is. The monitor kills a check
// whose client has gone away.
func (s *Supervisor) runCheck(b *box, l *link) (code int, output string, err error) {
	s.mu.Lock()
	config := b.config
	s.mu.Unlock()
	late := time.Now().Add(orDefault(config.Health.Timeout, api.HealthTimeout))
	program, err := s.execProgram(&config, &api.ExecSpec{Args: checkArgs(&config.Health)})
	if err != nil {
		return 0, "", err
	}
	ours, theirs, err := api.Pair("check")
	if err != nil {
		return 0, "", limitError("socketpair", err)
	}
	defer ours.Close()
	r, w, err := os.Pipe()
	if err != nil {
		theirs.Close()
		return 0, "", limitError("pipe", err)
	}
	defer r.Close()
	w.Fd() // blocking, as programs expect it
	err = s.tell(l, b, monitor.KindExec, &monitor.Exec{Program: *program, Stdio: api.Stdio{Out: true, Err: true}, Check: true}, theirs.File(), w, w)
	theirs.Close()
	w.Close()
	if err != nil {
		return 0, "", err
	}
	beginning := collect(r)
	code, err = awaitCheck(ours, late)
	ours.Close()
	return code, beginning(), err
}

// awaitCheck gives the exit status of a check.
func awaitCheck(conn *api.Conn, late time.Time) (int, error) {
	if err := conn.SetReadDeadline(late); err != nil {
		return 0, err
	}
	for {
		p, err := conn.Recv()
		if err != nil {
			return 0, err
		}
		p.CloseFiles()
		switch p.Kind {
		case api.KindFault:
			return 0, p.Error
		case api.KindExited:
			var done api.Done
			err := p.Decode(&done)
			return done.Code, err
		}
	}
}

// collect reads to the end, and keeps the beginning. What it gives waits for the
// end for a short while only: the check may have left somebody behind.
func collect(r *os.File) (beginning func() string) {
	var mu sync.Mutex
	var text bytes.Buffer
	more := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, healthOutput)
		for {
			n, err := r.Read(buf)
			mu.Lock()
			room := min(n, healthOutput-text.Len())
			text.Write(buf[:room])
			more = more || n > room
			mu.Unlock()
			if err != nil {
				return // the end, or time to stop
			}
		}
	}()
	return func() string {
		// One that cannot have a deadline ends when r is closed.
		_ = r.SetReadDeadline(time.Now().Add(healthGrace))
		<-done
		mu.Lock()
		defer mu.Unlock()
		if more {
			return text.String() + "..."
		}
		return text.String()
	}
}

// checkArgs is the command of a check that there is.
func checkArgs(h *api.Health) []string {
	if h.Test[0] == "CMD" {
		return h.Test[1:]
	}
	shell := h.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(shell), h.Test[1])
}
