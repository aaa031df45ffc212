//go:build gc && linux && !race && !purego

package table

import "unsafe"

// Where a P's number is: g.m, m.p, p.id.
const (
	GM  = 0x30
	MP  = 0xd0
	PID = 0
)

// direct: procPin is compiled to what the offsets above say.
var direct = procPinReads(GM, MP, PID)

// procPinReads reports whether the code of runtime.procPin is
//
//	MOVQ gm(R14), CX; INCL locks(CX); MOVQ mp(CX), CX; MOVLQSX pid(CX), AX; RET
func procPinReads(gm, mp, pid byte) bool {
	f := procPin
	code := *(**[22]byte)(*(*unsafe.Pointer)(unsafe.Pointer(&f)))
	locks := [4]byte(code[6:10])
	return *code == [22]byte{0x49, 0x8b, 0x4e, gm, 0xff, 0x81, locks[0], locks[1], locks[2], locks[3],
		0x48, 0x8b, 0x89, mp, 0, 0, 0, 0x48, 0x63, 0x01, 0xc3, code[21]} && pid == 0
}

// handleCount is (*Handle).countPinned.
//
//go:noescape
func handleCount(b *Handle, inc uint64)

func handleCountPinned(b *Handle, inc uint64) { b.countPinned(inc) }

var _ = handleCountPinned // only assembly calls it
