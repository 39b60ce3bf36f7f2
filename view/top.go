package view

import "strings"

// Top is docker top: a line of titles and a line per process. A program in the
// sandbox chooses some of the cells (its arguments, its name).
func Top(titles []string, rows [][]string) string {
	var b strings.Builder
	for _, cells := range append([][]string{titles}, rows...) {
		for i, cell := range cells {
			if i > 0 {
				b.WriteByte('\t')
			}
			b.WriteString(Safe(cell))
		}
		b.WriteByte('\n')
	}
	return tabulate(b.String(), 20, 3)
}
