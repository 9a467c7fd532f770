/*
 * context_switch_asm(void **save: x0, void *load: x1)
 *
 * A suspended stack, from its stack pointer upwards (160 bytes):
 *	x29 x30  x19 .. x28  d8 .. d15
 */
	.text
	.globl	context_switch_asm
	.type	context_switch_asm, %function
	.p2align 4
context_switch_asm:
	.cfi_startproc
	hint	#34			/* bti c */
	stp	x29, x30, [sp, #-160]!
	.cfi_adjust_cfa_offset 160
	.cfi_rel_offset x29, 0
	.cfi_rel_offset x30, 8
	stp	x19, x20, [sp, #16]
	.cfi_rel_offset x19, 16
	.cfi_rel_offset x20, 24
	stp	x21, x22, [sp, #32]
	.cfi_rel_offset x21, 32
	.cfi_rel_offset x22, 40
	stp	x23, x24, [sp, #48]
	.cfi_rel_offset x23, 48
	.cfi_rel_offset x24, 56
	stp	x25, x26, [sp, #64]
	.cfi_rel_offset x25, 64
	.cfi_rel_offset x26, 72
	stp	x27, x28, [sp, #80]
	.cfi_rel_offset x27, 80
	.cfi_rel_offset x28, 88
	stp	d8, d9, [sp, #96]
	stp	d10, d11, [sp, #112]
	stp	d12, d13, [sp, #128]
	stp	d14, d15, [sp, #144]
	mov	x9, sp
	str	x9, [x0]
	mov	sp, x1
	ldp	x19, x20, [sp, #16]
	ldp	x21, x22, [sp, #32]
	ldp	x23, x24, [sp, #48]
	ldp	x25, x26, [sp, #64]
	ldp	x27, x28, [sp, #80]
	ldp	d8, d9, [sp, #96]
	ldp	d10, d11, [sp, #112]
	ldp	d12, d13, [sp, #128]
	ldp	d14, d15, [sp, #144]
	ldp	x29, x30, [sp], #160
	.cfi_adjust_cfa_offset -160
	.cfi_restore x29
	.cfi_restore x30
	br	x30
	.cfi_endproc
	.size	context_switch_asm, . - context_switch_asm

/* Fresh contexts arrive here: x19 is the entry function, x20 its argument. */
	.globl	context_start_asm
	.type	context_start_asm, %function
	.p2align 4
context_start_asm:
	.cfi_startproc
	.cfi_undefined x30
	hint	#38			/* bti jc: reached by a jump */
	mov	x29, xzr
	mov	x30, xzr
	mov	x0, x20
	blr	x19
	brk	#1
	.cfi_endproc
	.size	context_start_asm, . - context_start_asm

	.section .note.GNU-stack, "", %progbits
