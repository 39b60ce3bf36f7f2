package owners

import (
	"errors"
	"strconv"
	"strings"
)

// Range says that the ids From.. are shown as To.., Length of them.
type Range struct {
	From, To, Length int
}

// Map translates ids; those that are in no range stay what they are.
type Map []Range

func (m Map) apply(id uint32) uint32 {
	for _, r := range m {
		if i := int(id) - r.From; i >= 0 && i < r.Length {
			return uint32(r.To + i)
		}
	}
	return id
}

// Apply gives the id that an id is shown as.
func (m Map) Apply(id int) int { return int(m.apply(uint32(id))) }

// Inverse is the map back.
func (m Map) Inverse() Map {
	back := make(Map, len(m))
	for i, r := range m {
		back[i] = Range{r.To, r.From, r.Length}
	}
	return back
}

// String is the form that goes into an argument vector.
func (m Map) String() string {
	parts := make([]string, len(m))
	for i, r := range m {
		parts[i] = strconv.Itoa(r.From) + ":" + strconv.Itoa(r.To) + ":" + strconv.Itoa(r.Length)
	}
	return strings.Join(parts, ",")
}

func parseMap(text string) (Map, error) {
	var m Map
	if text == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		numbers := strings.Split(part, ":")
		if len(numbers) != 3 {
			return nil, errors.New("id map: want FROM:TO:LENGTH: " + part)
		}
		var n [3]int
		for i, s := range numbers {
			v, err := strconv.ParseUint(s, 10, 32)
			if err != nil {
				return nil, errors.New("id map: " + part + ": " + err.Error())
			}
			n[i] = int(v)
		}
		m = append(m, Range{n[0], n[1], n[2]})
	}
	return m, nil
}
