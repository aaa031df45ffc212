//go:build !(gc && linux && amd64 && !race && !purego)

package table

// Without assembly for the platform, or with -race or purego, every increment goes the pinned way.
const direct = false

func handleCount(b *Handle, inc uint64) { b.countPinned(inc) }
