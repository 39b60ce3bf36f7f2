package view

import (
	"strings"
	"testing"
)

func TestLintReport(t *testing.T) {
	source := []byte("from debian AS a\n\nENV A b\nRUN x \\\n  y\n")
	warnings := []LintWarning{
		{Rule: "LegacyKeyValueFormat", URL: "https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/", Text: `"ENV key=value" should be used instead of legacy "ENV key value" format`,
			File: "Dockerfile", Source: source, Ranges: []LineRange{{3, 3}}},
		{Rule: "Long", Text: "lines \x1b[31m", File: "Dockerfile", Source: source, Ranges: []LineRange{{4, 5}}},
		{Rule: "FromAsCasing", Text: "'AS' and 'from' keywords' casing do not match", File: "Dockerfile", Source: source, Ranges: []LineRange{{1, 1}}},
		{Rule: "Nowhere", Text: "about no line"},
	}
	golden(t, "build-lint.golden", LintReport(warnings))
	if got := LintReport(nil); got != "Check complete, no warnings found.\n" {
		t.Errorf("got %q", got)
	}
	if got := LintReport(warnings[:1]); !strings.HasSuffix(got, "\nCheck complete, 1 warning has been found!\n") {
		t.Errorf("got %q", got)
	}
}

func TestExcerpt(t *testing.T) {
	source := []byte("1\r\n2\n3\t\x1b\n4\n5\n6")
	for _, c := range []struct {
		ranges []LineRange
		want   string
	}{
		{nil, ""},
		{[]LineRange{{9, 9}}, ""},
		{[]LineRange{{0, 0}}, ""},
		{[]LineRange{{1, 1}}, "F:1\n--------------------\n   1 | >>> 1\n   2 |     2\n   3 |     3\t\\x1b\n--------------------\n"},
		{[]LineRange{{5, 99}}, "F:5\n--------------------\n   4 |     4\n   5 | >>> 5\n   6 | >>> 6\n--------------------\n"},
		{[]LineRange{{2, 2}, {4, 4}}, "F:2\n--------------------\n   1 |     1\n   2 | >>> 2\n   3 |     3\t\\x1b\n   4 | >>> 4\n   5 |     5\n--------------------\n"},
	} {
		if got := Excerpt("F", source, c.ranges); got != c.want {
			t.Errorf("%v:\n got %q\nwant %q", c.ranges, got, c.want)
		}
	}
}

func TestBuildMetadata(t *testing.T) {
	want := "{\n  \"containerimage.config.digest\": \"sha256:0\",\n  \"containerimage.digest\": \"sha256:1\",\n  \"image.name\": \"a:1,b:2\"\n}\n"
	if got := BuildMetadata("sha256:0", "sha256:1", []string{"a:1", "b:2"}); got != want {
		t.Errorf("got %q", got)
	}
	if got := BuildMetadata("sha256:0", "", nil); got != "{\n  \"containerimage.config.digest\": \"sha256:0\"\n}\n" {
		t.Errorf("got %q", got)
	}
}
