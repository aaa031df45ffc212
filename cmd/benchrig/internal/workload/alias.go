package workload

import "math"

// alias draws from a fixed discrete distribution in constant time (Vose's method): one slot by the random number's
// high bits, then the slot's own value or its alias by its low bits.
type alias struct {
	threshold []uint32
	other     []uint32
}

// newAlias prepares Zipf's law: value k of n has a weight of (k+1)^-exponent.
func newAlias(n int, exponent float64) *alias {
	weight := make([]float64, n)
	sum := 0.0
	for k := range weight {
		weight[k] = math.Pow(float64(k+1), -exponent)
		sum += weight[k]
	}
	a := &alias{threshold: make([]uint32, n), other: make([]uint32, n)}
	var small, large []int
	for k := range weight {
		weight[k] *= float64(n) / sum
		if weight[k] < 1 {
			small = append(small, k)
		} else {
			large = append(large, k)
		}
	}
	for len(small) > 0 && len(large) > 0 {
		s, l := small[len(small)-1], large[len(large)-1]
		small = small[:len(small)-1]
		a.threshold[s] = uint32(weight[s] * math.MaxUint32)
		a.other[s] = uint32(l)
		if weight[l] -= 1 - weight[s]; weight[l] < 1 {
			large = large[:len(large)-1]
			small = append(small, l)
		}
	}
	for _, k := range append(small, large...) { // what rounding left over takes its whole slot
		a.threshold[k], a.other[k] = math.MaxUint32, uint32(k)
	}
	return a
}

func (a *alias) pick(r uint64) uint32 {
	k := uint32((r >> 32) * uint64(len(a.threshold)) >> 32)
	other := a.other[k] // loaded in any case: a conditional move, where a branch would be mispredicted
	if uint32(r) > a.threshold[k] {
		k = other
	}
	return k
}
