/* x86_64.S - what cannot be said in C on x86-64 (System V ABI): spilling registers, returning from a signal handler.
 *
 * tri_os_with_registers stores only the registers a callee must keep: the compiler has spilled every other one, all
 * vector registers among them, before it made the call, and those spills lie above our frame. Called by the scan of
 * the calling thread's own stack. */
#ifdef __CET__
#include <cet.h>
#else
#define _CET_ENDBR
#endif

    .text

/* void tri_os_with_registers(void (*body)(void *argument, uintptr_t sp), void *argument) */
    .globl  tri_os_with_registers
    .hidden tri_os_with_registers
    .type   tri_os_with_registers, @function
    .balign 16
tri_os_with_registers:
    .cfi_startproc
    _CET_ENDBR
    pushq   %rbp
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbp, 0
    pushq   %rbx
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %rbx, 0
    pushq   %r12
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r12, 0
    pushq   %r13
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r13, 0
    pushq   %r14
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r14, 0
    pushq   %r15
    .cfi_adjust_cfa_offset 8
    .cfi_rel_offset %r15, 0
    pushq   $0                  /* keeps the stack aligned to 16; zero, so that nothing stale is scanned */
    .cfi_adjust_cfa_offset 8
    movq    %rdi, %rax
    movq    %rsi, %rdi
    movq    %rsp, %rsi
    call    *%rax
    addq    $8, %rsp
    .cfi_adjust_cfa_offset -8
    popq    %r15
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r15
    popq    %r14
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r14
    popq    %r13
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r13
    popq    %r12
    .cfi_adjust_cfa_offset -8
    .cfi_restore %r12
    popq    %rbx
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbx
    popq    %rbp
    .cfi_adjust_cfa_offset -8
    .cfi_restore %rbp
    ret
    .cfi_endproc
    .size   tri_os_with_registers, . - tri_os_with_registers

/* Where the kernel returns to from a handler installed with the bare system call (15 is rt_sigreturn). Debuggers and
 * unwinders know a signal frame by exactly these bytes, so nothing may come before them, not even an endbr64. The nop
 * ahead of the label is for unwinders that look up the return address less one. */
    .balign 16
    nop
    .globl  tri_os_sigreturn
    .hidden tri_os_sigreturn
    .type   tri_os_sigreturn, @function
tri_os_sigreturn:
    movq    $15, %rax
    syscall
    .size   tri_os_sigreturn, . - tri_os_sigreturn

    .section .note.GNU-stack, "", @progbits
