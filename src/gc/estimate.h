/* estimate.h - how long things will take: scanning what is dirty, reading roots, looking at what is dirty; and how long
 * a stop may last.
 *
 * Learned from how long they took. Under the cycle lock, but for what a page costs, which whoever marks may tell and
 * which is relaxed. Times in nanoseconds. */
#ifndef TRI_ESTIMATE_H
#define TRI_ESTIMATE_H

#include "base/base.h"

/* A collection begins: how fast pages become dirty is not known. */
void tri_estimate_begin(void);

/* ---- what things took ---- */

/* So many bytes of dirty pages were scanned again, with all that follows, by a session that did little else. */
void tri_estimate_note_scan(size_t bytes, uint64_t duration);
void tri_estimate_note_roots(uint64_t duration);

/* A look found so many dirty bytes at this time; armed: and has armed all of them again. */
void tri_estimate_note_dirty(size_t bytes, uint64_t time, bool armed);
void tri_estimate_note_look(uint64_t duration); /* in a stop */

/* ---- what they will take ---- */

/* To scan so many dirty bytes: one marker; in a stop, all markers, as far as they are worth waking. */
uint64_t tri_estimate_scan(size_t bytes);
uint64_t tri_estimate_scan_stopped(size_t bytes, int markers);
bool tri_estimate_is_worth_help(size_t bytes);

/* What has become dirty by now, in bytes. */
size_t tri_estimate_dirty(uint64_t time);

uint64_t tri_estimate_roots(void);
uint64_t tri_estimate_look(void);

/* For the scan in a stop, roots apart, of a collection that has made so many rounds: it grows, so that there is an
 * end. */
uint64_t tri_estimate_budget(uint32_t rounds);

#endif
