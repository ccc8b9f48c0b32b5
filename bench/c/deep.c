/* deep.c - latency at the bottom of a deep stack that is full of pointers.
 *
 *     bench-deep-PEER [MIB OPERATIONS]      (8 MiB and 5,000,000)
 *
 * A thread recurses through 4,096 frames for each MiB, each of which holds 8 pointers, to a node of its own each, and
 * 20 numbers: with what the compiler adds, a little over 256 bytes. At the bottom each operation makes one node of
 * garbage. On the way back every frame looks at what its pointers lead to. Go grows the stack of a goroutine as it
 * goes. */
#include "latency.h"
#include "node.h"

enum { FRAMES_PER_MIB = 4096, FRAME_POINTERS = 8, FRAME_NUMBERS = 20, FRAME_MOST = 1024 };

typedef struct frame {
  node *held[FRAME_POINTERS];
  uint64_t number[FRAME_NUMBERS];
} frame;

typedef struct run {
  size_t frames, operations;
  bench_latency *latency;
  uint64_t intact; /* results */
  uintptr_t top, bottom;
  double wall_ms;
} run;

static BENCH_NOINLINE void frame_fill(frame *f, size_t depth) {
  for (size_t i = 0; i < FRAME_POINTERS; i++) f->held[i] = node_make(depth * FRAME_POINTERS + i);
  for (size_t i = 0; i < FRAME_NUMBERS; i++) f->number[i] = depth + i;
}

/* How many of a frame's pointers and numbers are as they should be; drops the nodes. */
static BENCH_NOINLINE uint64_t frame_end(const frame *f, size_t depth) {
  uint64_t intact = 0;
  for (size_t i = 0; i < FRAME_POINTERS; i++) {
    intact += node_intact(f->held[i]) && f->held[i]->word[0] == depth * FRAME_POINTERS + i;
    bench_drop(f->held[i]);
  }
  for (size_t i = 0; i < FRAME_NUMBERS; i++) intact += f->number[i] == depth + i;
  return intact;
}

static BENCH_NOINLINE void bottom_run(run *r) {
  garbage g = garbage_begin();
  r->bottom = (uintptr_t)__builtin_frame_address(0);
  uint64_t start = bench_now_ns();
  bench_latency_begin(r->latency, start);
  for (size_t i = 0; i < r->operations; i++) {
    garbage_make(&g);
    bench_latency_end(r->latency);
  }
  r->wall_ms = bench_ms_since(start);
  bench_measured();
  r->intact += garbage_end(&g);
}

static BENCH_NOINLINE void descend(run *r, size_t depth) {
  frame f;
  frame_fill(&f, depth);
  if (depth + 1 < r->frames)
    descend(r, depth + 1);
  else
    bottom_run(r);
  r->intact += frame_end(&f, depth);
}

static void *thread_run(void *argument) {
  run *r = argument;
  r->top = (uintptr_t)__builtin_frame_address(0);
  descend(r, 0);
  return NULL;
}

int main(int argc, char **argv) {
  size_t mib = (size_t)bench_arg(argc, argv, 1, 8);
  run r = {.frames = mib * FRAMES_PER_MIB, .operations = (size_t)bench_arg(argc, argv, 2, 5000000)};
  pthread_t thread;
  bench_start();
  r.latency = bench_latency_make();
  bench_thread_start_with_stack(&thread, thread_run, &r, (r.frames + 1024) * FRAME_MOST);
  bench_thread_join(thread);
  uint64_t expected = r.frames * (FRAME_POINTERS + FRAME_NUMBERS);
  expected += r.operations < GARBAGE_RING ? r.operations : GARBAGE_RING;
  if (r.intact != expected) nodes_lost("deep", expected - r.intact);
  bench_report("deep", "wall_ms=%.3f stack_kib=%zu %s check=%" PRIu64, r.wall_ms, (size_t)(r.top - r.bottom) >> 10,
               bench_latency_text(r.latency), r.intact);
  return 0;
}
