/* registers.h - moving the only pointer without leaving a copy, and holding it in one register and nowhere else.
 *
 * Written in assembly (registers.S), so that what holds the pointer is known exactly. home is the word that holds the
 * pointer before and after; in between it is NULL. */
#ifndef TORTURE_REGISTERS_H
#define TORTURE_REGISTERS_H

#include <stddef.h>

/* *to = *from, *from = NULL. */
void torture_move(void *volatile *from, void *volatile *to);

/* Holds the pointer in a register that a call may change, and computes for so many rounds (at least 1). */
typedef void torture_hold(void *volatile *home, size_t rounds);
/* Holds it in a register that calls preserve, and calls act(argument). */
typedef void torture_hold_call(void *volatile *home, void (*act)(void *), void *argument);

/* Tables of holds, one entry for each register or lane; each ends with NULL. */
extern torture_hold *const torture_scratch_holds[];
extern torture_hold_call *const torture_callee_holds[];
extern torture_hold *const torture_vector_holds[];
/* Those that need more of the processor than every one has; on x86-64 AVX, and AVX-512 with its mask registers. */
extern torture_hold *const torture_wide_holds[];
extern torture_hold *const torture_widest_holds[];

#endif
