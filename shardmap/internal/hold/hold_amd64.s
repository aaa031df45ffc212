//go:build linux

#include "textflag.h"

// func cycles(n uint64, in, out *uint32)
TEXT ·cycles(SB), NOSPLIT, $0-24
	MOVQ n+0(FP), SI
	MOVQ in+8(FP), DI
	MOVQ out+16(FP), R8
	RDTSC
	SHLQ $32, DX
	ORQ  DX, AX
	ADDQ AX, SI
	MOVL $1, (DI)

loop:
	PAUSE
	RDTSC
	SHLQ $32, DX
	ORQ  DX, AX
	CMPQ AX, SI
	JCS  loop
	MOVL $1, (R8)
	RET
