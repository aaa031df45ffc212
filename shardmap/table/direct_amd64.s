//go:build gc && linux && !race && !purego

#include "go_asm.h"
#include "textflag.h"

// func handleCount(b *Handle, inc uint64)
TEXT ·handleCount(SB), NOSPLIT, $0-16
	MOVQ    (TLS), R8
	MOVQ    b+0(FP), AX
	MOVQ    const_GM(R8), R8
	MOVQ    inc+8(FP), SI
	MOVQ    Handle_c(AX), DI
	MOVQ    Handle_ref(AX), CX
	MOVQ    const_MP(R8), R8
	MOVQ    const_QuickOffset(DI), BX
	MOVQ    CX, DX
	MOVL    CX, CX                        // the row
	SHRQ    $32, DX                       // the generation
	MOVLQZX const_PID(R8), R8
	TESTQ   BX, BX
	JEQ     pinned
	CMPL    DX, Gen_id(BX)
	JNE     pinned
	CMPL    R8, $const_DirectColumns
	JCC     pinned
	MOVQ    const_OwnOffset(BX)(R8*8), R9 // the P's column, 0 if it has none
	TESTQ   R9, R9
	JEQ     pinned
	MOVQ    (R9)(CX*8), DX
	ADDQ    SI, DX
	ORQ     DX, SI
	CMPQ    SI, Gen_limit(BX)
	JCC     pinned
	MOVQ    DX, (R9)(CX*8)
	RET

pinned:
	JMP ·handleCountPinned(SB)
