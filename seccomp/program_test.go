package seccomp

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A conditional jump reaches 255 instructions. Both targets are moved over that
// edge, as returns, which are copied, and as others, which get a detour.
func TestJumpAtItsReach(t *testing.T) {
	for filler := 245; filler < 265; filler++ {
		for _, direct := range []bool{true, false} {
			for _, swap := range []bool{true, false} {
				b := &program{rets: make(map[uint32]int)}
				yes := b.ret(1)
				if !direct {
					yes = b.load(offsetArch)
				}
				no := b.ret(2)
				if !direct {
					no = b.load(offsetArch)
				}
				for range filler {
					b.emit(unix.BPF_RET|unix.BPF_K, 99)
				}
				want := map[uint32]uint32{7: 1, 8: 2}
				if swap {
					yes, no = no, yes
					want = map[uint32]uint32{7: 2, 8: 1}
				}
				b.jump(unix.BPF_JEQ, 7, yes, no)
				b.load(offsetNr)
				slices.Reverse(b.code)
				for nr, value := range want {
					if got, _ := step(b.code, call{nr: nr}); got != value {
						t.Errorf("%d instructions between, returns %v, swapped %v: %d goes to %d, want %d", filler, direct, swap, nr, got, value)
					}
				}
			}
		}
	}
}
