package workload

import (
	"encoding/binary"

	accounting "github.com/ron-accounting/ron-accounting"
)

// Key is the recorder's key.
type Key = accounting.Key

// id spreads n over 16 bytes; distinct n give distinct ids for one salt.
func id(salt, n uint64) (out accounting.ID) {
	x := n + salt // SplitMix64's finalizer: a bijection
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	binary.BigEndian.PutUint64(out[:8], x)
	binary.BigEndian.PutUint64(out[8:], x*0x9e3779b97f4a7c15^salt)
	return out
}
