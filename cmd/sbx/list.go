package main

import "strings"

// list is a flag that may be given several times. pflag's own kind encodes its
// default as CSV, which takes longer than making all the other flags of run.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

// Type is what help shows for the value of a flag whose text names none.
func (l *list) Type() string { return "list" }

// Set implements pflag.Value.
func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}
