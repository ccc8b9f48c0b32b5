/* aarch64.S - what cannot be said in C on aarch64 (AAPCS64): spilling registers.
 *
 * tri_os_with_registers stores only the registers a callee must keep, x19 to x30 and the low halves of v8 to v15: the
 * compiler has spilled every other one before it made the call, and those spills lie above our frame. Called by the
 * scan of the calling thread's own stack. */

/* A hint: no operation on processors without branch target identification. */
#define BTI_C hint #34

    .text

/* void tri_os_with_registers(void (*body)(void *argument, uintptr_t sp), void *argument) */
    .globl  tri_os_with_registers
    .hidden tri_os_with_registers
    .type   tri_os_with_registers, %function
    .balign 16
tri_os_with_registers:
    .cfi_startproc
    BTI_C
    stp     x29, x30, [sp, #-160]!
    .cfi_def_cfa_offset 160
    .cfi_offset x29, -160
    .cfi_offset x30, -152
    mov     x29, sp
    .cfi_def_cfa_register x29
    stp     x19, x20, [sp, #16]
    .cfi_offset x19, -144
    .cfi_offset x20, -136
    stp     x21, x22, [sp, #32]
    .cfi_offset x21, -128
    .cfi_offset x22, -120
    stp     x23, x24, [sp, #48]
    .cfi_offset x23, -112
    .cfi_offset x24, -104
    stp     x25, x26, [sp, #64]
    .cfi_offset x25, -96
    .cfi_offset x26, -88
    stp     x27, x28, [sp, #80]
    .cfi_offset x27, -80
    .cfi_offset x28, -72
    stp     d8, d9, [sp, #96]
    .cfi_offset d8, -64
    .cfi_offset d9, -56
    stp     d10, d11, [sp, #112]
    .cfi_offset d10, -48
    .cfi_offset d11, -40
    stp     d12, d13, [sp, #128]
    .cfi_offset d12, -32
    .cfi_offset d13, -24
    stp     d14, d15, [sp, #144]
    .cfi_offset d14, -16
    .cfi_offset d15, -8
    mov     x9, x0
    mov     x0, x1
    mov     x1, sp
    blr     x9
    /* body has kept every register but these two, as it must. */
    ldp     x29, x30, [sp], #160
    .cfi_def_cfa sp, 0
    .cfi_restore x29
    .cfi_restore x30
    .cfi_restore x19
    .cfi_restore x20
    .cfi_restore x21
    .cfi_restore x22
    .cfi_restore x23
    .cfi_restore x24
    .cfi_restore x25
    .cfi_restore x26
    .cfi_restore x27
    .cfi_restore x28
    .cfi_restore d8
    .cfi_restore d9
    .cfi_restore d10
    .cfi_restore d11
    .cfi_restore d12
    .cfi_restore d13
    .cfi_restore d14
    .cfi_restore d15
    ret
    .cfi_endproc
    .size   tri_os_with_registers, . - tri_os_with_registers

/* One object without this note would switch branch target identification off for the whole library. */
#ifdef __ARM_FEATURE_BTI_DEFAULT
    .section .note.gnu.property, "a", %note
    .balign 8
    .word   4                   /* size of the name */
    .word   16                  /* size of the property */
    .word   5                   /* NT_GNU_PROPERTY_TYPE_0 */
    .asciz  "GNU"
    .word   0xc0000000          /* GNU_PROPERTY_AARCH64_FEATURE_1_AND */
    .word   4
    .word   1                   /* branch target identification */
    .word   0
#endif

    .section .note.GNU-stack, "", %progbits
