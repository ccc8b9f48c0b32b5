/* registers.S - see registers.h. Nothing here uses the stack to hold the pointer, or a register that is not named. */

/* Adds function \name to the table that is being written, and begins it. */
.macro hold name
	.pushsection .data.rel.ro.torture, "aw"
	.balign 8
	.quad \name
	.popsection
	.type \name, %function
\name:
.endm

.macro table name
	.pushsection .data.rel.ro.torture, "aw"
	.balign 8
	.globl \name
	.type \name, %object
\name:
	.popsection
.endm

.macro table_end
	.pushsection .data.rel.ro.torture, "aw"
	.quad 0
	.popsection
.endm

	.text

#if defined(__x86_64__)

	.globl torture_move
	.type torture_move, @function
torture_move:
	movq (%rdi), %rax
	movq %rax, (%rsi)
	movq $0, (%rdi)
	xorl %eax, %eax
	ret
	.size torture_move, . - torture_move

/* home is in rdi, rounds in rsi. */
.macro spin
1:	pause
	decq %rsi
	jnz 1b
.endm

.macro scratch register
hold scratch_\register
	movq (%rdi), %\register
	movq $0, (%rdi)
	spin
	movq %\register, (%rdi)
	xorq %\register, %\register
	ret
.endm

	table torture_scratch_holds
	.irp register, rax, rcx, rdx, r8, r9, r10, r11
	scratch \register
	.endr
	table_end

/* home is kept in \keeper meanwhile; the stack stays aligned. */
.macro callee register, keeper
hold callee_\register
	pushq %\register
	pushq %\keeper
	subq $8, %rsp
	movq %rdi, %\keeper
	movq (%\keeper), %\register
	movq $0, (%\keeper)
	movq %rdx, %rdi
	call *%rsi
	movq %\register, (%\keeper)
	addq $8, %rsp
	popq %\keeper
	popq %\register
	ret
.endm

	table torture_callee_holds
	callee rbx, r12
	callee rbp, rbx
	callee r12, rbx
	callee r13, rbx
	callee r14, rbx
	callee r15, rbx
	table_end

.macro low number
hold low_\number
	movq (%rdi), %xmm\number
	movq $0, (%rdi)
	spin
	movq %xmm\number, (%rdi)
	pxor %xmm\number, %xmm\number
	ret
.endm

.macro high number
hold high_\number
	pxor %xmm\number, %xmm\number
	movhps (%rdi), %xmm\number
	movq $0, (%rdi)
	spin
	movhps %xmm\number, (%rdi)
	pxor %xmm\number, %xmm\number
	ret
.endm

.macro mmx number
hold mmx_\number
	movq (%rdi), %mm\number
	movq $0, (%rdi)
	spin
	movq %mm\number, (%rdi)
	pxor %mm\number, %mm\number
	emms
	ret
.endm

	table torture_vector_holds
	.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	low \number
	high \number
	.endr
	.irp number, 0, 1, 2, 3, 4, 5, 6, 7
	mmx \number
	.endr
	table_end

/* The upper lane of a register of 256 bits; the lower one is zero. */
.macro upper number
hold upper_\number
	vmovq (%rdi), %xmm\number
	movq $0, (%rdi)
	vperm2f128 $0x08, %ymm\number, %ymm\number, %ymm\number
	spin
	vextractf128 $1, %ymm\number, %xmm\number
	vmovq %xmm\number, (%rdi)
	vpxor %xmm\number, %xmm\number, %xmm\number
	vzeroupper
	ret
.endm

	table torture_wide_holds
	.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	upper \number
	.endr
	table_end

/* The topmost of the eight words of a register of 512 bits. */
.macro topmost number
hold topmost_\number
	vmovq (%rdi), %xmm\number
	movq $0, (%rdi)
	valignq $1, %zmm\number, %zmm\number, %zmm\number
	spin
	valignq $7, %zmm\number, %zmm\number, %zmm\number
	vmovq %xmm\number, (%rdi)
	vpxorq %zmm\number, %zmm\number, %zmm\number
	vzeroupper
	ret
.endm

.macro mask number
hold mask_\number
	kmovq (%rdi), %k\number
	movq $0, (%rdi)
	spin
	kmovq %k\number, (%rdi)
	kxorq %k\number, %k\number, %k\number
	ret
.endm

	table torture_widest_holds
	.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	topmost \number
	.endr
	.irp number, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	topmost \number
	.endr
	.irp number, 0, 1, 2, 3, 4, 5, 6, 7
	mask \number
	.endr
	table_end

#elif defined(__aarch64__)

	.globl torture_move
	.type torture_move, %function
torture_move:
	ldr x2, [x0]
	str x2, [x1]
	str xzr, [x0]
	mov x2, #0
	ret
	.size torture_move, . - torture_move

/* home is in x0, rounds in x1. */
.macro spin
1:	yield
	subs x1, x1, #1
	b.ne 1b
.endm

.macro scratch register
hold scratch_\register
	ldr \register, [x0]
	str xzr, [x0]
	spin
	str \register, [x0]
	mov \register, #0
	ret
.endm

	table torture_scratch_holds
	.irp register, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11, x12, x13, x14, x15, x16, x17
	scratch \register
	.endr
	table_end

.macro callee register, keeper
hold callee_\register
	stp x29, x30, [sp, #-32]!
	stp \register, \keeper, [sp, #16]
	mov \keeper, x0
	ldr \register, [\keeper]
	str xzr, [\keeper]
	mov x0, x2
	blr x1
	str \register, [\keeper]
	ldp \register, \keeper, [sp, #16]
	ldp x29, x30, [sp], #32
	ret
.endm

	table torture_callee_holds
	callee x19, x20
	.irp register, x20, x21, x22, x23, x24, x25, x26, x27, x28
	callee \register, x19
	.endr
	table_end

.macro low number
hold low_\number
	ldr d\number, [x0]
	str xzr, [x0]
	spin
	str d\number, [x0]
	movi v\number\().2d, #0
	ret
.endm

.macro high number
hold high_\number
	movi v\number\().2d, #0
	ld1 {v\number\().d}[1], [x0]
	str xzr, [x0]
	spin
	st1 {v\number\().d}[1], [x0]
	movi v\number\().2d, #0
	ret
.endm

/* v8 to v15 are preserved by calls in their lower halves, which the caller may be using. */
	table torture_vector_holds
	.irp number, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	low \number
	high \number
	.endr
	table_end

	table torture_wide_holds
	table_end
	table torture_widest_holds
	table_end

#endif

	.section .note.GNU-stack, "", %progbits
