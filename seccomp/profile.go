package seccomp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	moby "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// resolve picks the rules of a profile that apply to these capabilities, this
// kernel and this architecture.
func resolve(profile []byte, caps []string) (*specs.LinuxSeccomp, error) {
	process := &specs.Spec{Process: &specs.Process{
		Capabilities: &specs.LinuxCapabilities{Bounding: caps},
	}}
	if len(profile) == 0 {
		return moby.GetDefaultProfile(process)
	}
	var doc moby.Seccomp
	if err := json.Unmarshal(profile, &doc); err != nil {
		return nil, locate(profile, err)
	}
	// Before LoadProfile: it dereferences rules that are null, and drops those
	// that do not apply, after which an index no longer tells the place.
	if err := check(&doc); err != nil {
		return nil, err
	}
	return moby.LoadProfile(string(profile), process)
}

// check reports the first thing in a profile that cannot be honoured.
func check(doc *moby.Seccomp) error {
	if doc.DefaultAction == "" {
		return errors.New("defaultAction is missing")
	}
	if _, err := action(doc.DefaultAction, doc.DefaultErrnoRet); err != nil {
		return fmt.Errorf("defaultAction: %w", err)
	}
	if doc.ListenerPath != "" || doc.ListenerMetadata != "" {
		return errors.New("listenerPath: notification of a listener is not supported")
	}
	for i, flag := range doc.Flags {
		if err := checkFlag(flag); err != nil {
			return fmt.Errorf("flags[%d]: %w", i, err)
		}
	}
	for i, call := range doc.Syscalls {
		if call == nil {
			return fmt.Errorf("syscalls[%d]: null is not a rule", i)
		}
		if err := checkRule(&call.LinuxSyscall); err != nil {
			return fmt.Errorf("syscalls[%d].%w", i, err)
		}
	}
	return nil
}

func checkFlag(flag specs.LinuxSeccompFlag) error {
	switch flag {
	// Leaving these out only makes the filter stricter or changes nothing: the
	// one turns a mitigation off, the other is about listeners.
	case specs.LinuxSeccompFlagSpecAllow, specs.LinuxSeccompFlagWaitKillableRecv:
		return nil
	// Every process loads its filter with one thread.
	case "SECCOMP_FILTER_FLAG_TSYNC":
		return nil
	}
	return fmt.Errorf("%q is not supported", flag)
}

// checkRule returns an error that starts with the field.
func checkRule(rule *specs.LinuxSyscall) error {
	if _, err := action(rule.Action, rule.ErrnoRet); err != nil {
		return fmt.Errorf("action: %w", err)
	}
	for i, arg := range rule.Args {
		if _, err := newCondition(arg); err != nil {
			return fmt.Errorf("args[%d].%w", i, err)
		}
	}
	return nil
}

// locate puts the place in the text into an error of encoding/json.
func locate(text []byte, err error) error {
	// Not errors.As: inside the error of a kernel version is one whose offset
	// counts from the version.
	switch e := err.(type) {
	case *json.SyntaxError:
		return fmt.Errorf("%s: %w", position(text, e.Offset), err)
	case *json.UnmarshalTypeError:
		// encoding/json has the Go name of an embedded struct in the path.
		field := strings.ReplaceAll(e.Field, "LinuxSyscall.", "")
		if field == "" {
			field = "profile"
		}
		return fmt.Errorf("%s: %s: %s where %s is expected", position(text, e.Offset), field, e.Value, jsonType(e.Type))
	}
	// The error of a kernel version quotes the text with its line breaks.
	return errors.New(strings.Join(strings.Fields(err.Error()), " "))
}

// position turns the number of bytes read into words. Columns count bytes.
func position(text []byte, offset int64) string {
	read := text[:min(max(offset, 0), int64(len(text)))]
	line := 1 + bytes.Count(read, []byte("\n"))
	column := len(read) - 1 - bytes.LastIndexByte(read, '\n')
	return fmt.Sprintf("line %d, column %d", line, column)
}

// jsonType names what a Go type is written as.
func jsonType(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.String:
		return "a string"
	case reflect.Uint, reflect.Uint64:
		return "a number from 0 on"
	default:
		return t.String()
	}
}
