/*
 * context_switch_asm(void **save: rdi, void *load: rsi)
 *
 * A suspended stack, from its stack pointer upwards:
 *	r15 r14 r13 r12 rbx rbp  return address
 *
 * The unwind tables hold at every instruction: while `rsp` is the old stack the frame is described
 * relative to it, and from the load on the same offsets are true of the new one.
 */
	.text
	.globl	context_switch_asm
	.type	context_switch_asm, @function
	.p2align 4
context_switch_asm:
	.cfi_startproc
	endbr64
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbp, 0
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset rbx, 0
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r12, 0
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r13, 0
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r14, 0
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset r15, 0
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	popq	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore r15
	popq	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore r14
	popq	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore r13
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore r12
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbx
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore rbp
	popq	%rcx
	.cfi_adjust_cfa_offset -8
	.cfi_register rip, rcx
	notrack jmp *%rcx
	.cfi_endproc
	.size	context_switch_asm, . - context_switch_asm

/* Fresh contexts arrive here: r12 is the entry function, r13 its argument. */
	.globl	context_start_asm
	.type	context_start_asm, @function
	.p2align 4
context_start_asm:
	.cfi_startproc
	.cfi_undefined rip
	endbr64
	xorl	%ebp, %ebp
	movq	%r13, %rdi
	callq	*%r12
	ud2
	.cfi_endproc
	.size	context_start_asm, . - context_start_asm

	.section .note.GNU-stack, "", @progbits
