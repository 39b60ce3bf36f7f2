package view

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"sbx/api"
)

// rawBuild shows a build as BuildKit's rawjson progress does: one JSON object a line,
// of the shape of its client.SolveStatus.
type rawBuild struct {
	out *buildOutput
	now func() time.Time
}

type rawStatus struct {
	Vertexes []rawVertex  `json:"vertexes,omitempty"`
	Statuses []rawNote    `json:"statuses,omitempty"`
	Logs     []rawLog     `json:"logs,omitempty"`
	Warnings []rawWarning `json:"warnings,omitempty"`
}

type rawVertex struct {
	Digest    string     `json:"digest"`
	Name      string     `json:"name"`
	Started   *time.Time `json:"started,omitempty"`
	Completed *time.Time `json:"completed,omitempty"`
	Cached    bool       `json:"cached,omitempty"`
	Error     string     `json:"error,omitempty"`
}

type rawNote struct {
	ID        string     `json:"id"`
	Vertex    string     `json:"vertex"`
	Name      string     `json:"name,omitempty"`
	Current   int64      `json:"current"`
	Timestamp time.Time  `json:"timestamp"`
	Started   *time.Time `json:"started,omitempty"`
	Completed *time.Time `json:"completed,omitempty"`
}

type rawLog struct {
	Vertex    string    `json:"vertex"`
	Stream    int       `json:"stream"`
	Data      []byte    `json:"data"`
	Timestamp time.Time `json:"timestamp"`
}

type rawWarning struct {
	Vertex string     `json:"vertex,omitempty"`
	Level  int        `json:"level,omitempty"`
	Short  []byte     `json:"short,omitempty"`
	Detail [][]byte   `json:"detail,omitempty"`
	URL    string     `json:"url,omitempty"`
	Range  []rawRange `json:"range,omitempty"`
}

type rawRange struct {
	Start rawPosition `json:"start"`
	End   rawPosition `json:"end"`
}

type rawPosition struct {
	Line int `json:"line"`
}

func (r *rawBuild) line(status rawStatus) {
	text, err := json.Marshal(status)
	if err != nil {
		// Strings, numbers and times always have a JSON form.
		panic(fmt.Sprintf("the progress of a build: %v", err))
	}
	r.out.print(string(text) + "\n")
}

// vertex stands for a step by a digest, which is what readers expect.
func (s *buildStep) vertex() string {
	sum := sha256.Sum256([]byte(strconv.Itoa(s.id) + " " + s.title))
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (r *rawBuild) begun(s *buildStep) {
	r.line(rawStatus{Vertexes: []rawVertex{{Digest: s.vertex(), Name: s.title, Started: &s.began}}})
}

func (r *rawBuild) said(s *buildStep, lines []logLine) {
	logs := make([]rawLog, len(lines))
	for i, l := range lines {
		logs[i] = rawLog{Vertex: s.vertex(), Stream: 1, Data: []byte(l.text + "\n"), Timestamp: s.began.Add(l.at)}
	}
	r.line(rawStatus{Logs: logs})
}

func (r *rawBuild) noted(s *buildStep, n *buildNote) {
	status := rawNote{ID: n.key, Vertex: s.vertex(), Name: n.text, Timestamp: r.now(), Started: &n.began}
	if !n.ended.IsZero() {
		status.Completed = &n.ended
	}
	r.line(rawStatus{Statuses: []rawNote{status}})
}

func (r *rawBuild) ended(s *buildStep) {
	v := rawVertex{Digest: s.vertex(), Name: s.title, Started: &s.began, Completed: &s.ended, Cached: s.how == StepCached}
	switch s.how {
	case StepFailed:
		v.Error = s.reason()
	case StepCancelled:
		v.Error = "context canceled" // the word by which readers know it
	}
	r.line(rawStatus{Vertexes: []rawVertex{v}})
}

// failed shows nothing: the vertex has the error, and its logs are there.
func (r *rawBuild) failed(string) {}

func (r *rawBuild) resize(api.Size) {}

func (r *rawBuild) close(warnings []LintWarning) {
	var list []rawWarning
	for _, w := range sortLint(warnings) {
		raw := rawWarning{Level: 1, Short: []byte(w.short()), Detail: [][]byte{[]byte(w.Text)}, URL: w.URL}
		for _, in := range w.Ranges {
			raw.Range = append(raw.Range, rawRange{rawPosition{in.Start}, rawPosition{in.End}})
		}
		list = append(list, raw)
	}
	if len(list) > 0 {
		r.line(rawStatus{Warnings: list})
	}
}
