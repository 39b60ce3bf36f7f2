// Package names makes names for sandboxes and says which names are allowed.
package names

import (
	"crypto/rand"
	"encoding/hex"
	"math/big"
	"strconv"
)

// tries is how many pairs of words Random looks at before it adds a number.
const tries = 16

// Random is a free name of two words: "quiet_harbor". When too many are taken it
// ends with a number, and in the last resort it is "sandbox_" and 32 hex digits,
// which are free without asking.
func Random(taken func(string) bool) string {
	adjectives, nouns := adjectives(), nouns()
	for i := range 3 * tries {
		name := pick(adjectives) + "_" + pick(nouns)
		if i >= tries {
			name += strconv.Itoa(below(1000 * i))
		}
		if !taken(name) {
			return name
		}
	}
	id := make([]byte, 16)
	// crypto/rand.Read returns no error since Go 1.24: it ends the program.
	_, _ = rand.Read(id)
	return "sandbox_" + hex.EncodeToString(id)
}

func pick(words []string) string { return words[below(len(words))] }

// below is a random number from 0 to n-1.
func below(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		return 0 // rand.Reader does not fail, see rand.Read
	}
	return int(i.Int64())
}
