/* trip_system.c - trips through the kernel, which writes the pointer into a heap object that nobody else has written
 * to.
 *
 * While the pointer is in the kernel alone it is out of the collector's sight, as documented; so a copy stays in the
 * courier's word until it has been read, and is dropped then. */
#include <errno.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <tricolor.h>
#include <unistd.h>

#include "dwell.h"
#include "registers.h"
#include "report.h"
#include "trips.h"

/* Messages of so many words, the pointer somewhere among them; read into objects of up to so many more. */
enum { MESSAGE_WORDS = 64, LARGE_WORDS = 16 * 1024 };

/* An object to read a message into; mostly small, now and then large. */
typedef struct buffer {
  void *volatile *words;
  size_t offset; /* of the message in it */
  size_t index;  /* of the pointer in the message */
} buffer;

static void *volatile *make_buffer(size_t words) {
  void *made = tri_alloc_array(words, sizeof(void *));
  if (!made) report_call("tri_alloc_array", (long)words);
  return made;
}

static buffer make_target(actor *a, size_t index) {
  size_t more = random_below(&a->random, random_below(&a->random, 32) == 0 ? LARGE_WORDS : 128);
  return (buffer){make_buffer(MESSAGE_WORDS + more), random_below(&a->random, more + 1), index};
}

/* The courier keeps a copy from here on; *home is empty. */
static buffer make_message(actor *a, void *volatile *home) {
  buffer message = {make_buffer(MESSAGE_WORDS), 0, random_below(&a->random, MESSAGE_WORDS)};
  torture_move(home, &couriers[a->number].word);
  message.words[message.index] = couriers[a->number].word;
  return message;
}

/* Now the target alone has the pointer; it lies there for a while. */
static void take_message(actor *a, const buffer *target, void *volatile *home) {
  void *volatile *word = &target->words[target->offset + target->index];
  if (*word != couriers[a->number].word) report_text("a message has lost its pointer on the way");
  couriers[a->number].word = NULL;
  actor_dwell(a);
  torture_move(word, home);
}

static void expect(const char *call, ssize_t got) {
  if (got != MESSAGE_WORDS * (ssize_t)sizeof(void *)) report_call(call, got);
}

/* The message itself must not keep a copy. */
static void drop(buffer *message) { message->words[message->index] = NULL; }

void trip_pipe(actor *a, void *volatile *home) {
  buffer message = make_message(a, home);
  expect("write", write(a->pipe[1], (void *)(uintptr_t)message.words, MESSAGE_WORDS * sizeof(void *)));
  drop(&message);
  buffer target = make_target(a, message.index);
  actor_dwell(a);
  expect("read", read(a->pipe[0], (void *)(uintptr_t)(target.words + target.offset), MESSAGE_WORDS * sizeof(void *)));
  take_message(a, &target, home);
}

/* In two pieces, the second one begins at the pointer. */
static void scatter(const buffer *target, struct iovec pieces[2]) {
  char *start = (char *)(uintptr_t)(target->words + target->offset);
  size_t first = target->index * sizeof(void *);
  pieces[0] = (struct iovec){start, first};
  pieces[1] = (struct iovec){start + first, MESSAGE_WORDS * sizeof(void *) - first};
}

void trip_socket(actor *a, void *volatile *home) {
  struct iovec pieces[2];
  struct msghdr header = {.msg_iov = pieces, .msg_iovlen = 2};
  buffer message = make_message(a, home);
  scatter(&message, pieces);
  expect("sendmsg", sendmsg(a->sockets[1], &header, 0));
  drop(&message);
  buffer target = make_target(a, message.index);
  scatter(&target, pieces);
  expect("recvmsg", recvmsg(a->sockets[0], &header, MSG_WAITALL));
  take_message(a, &target, home);
}

void trip_file(actor *a, void *volatile *home) {
  struct iovec pieces[2];
  buffer message = make_message(a, home);
  expect("pwrite", pwrite(a->file, (void *)(uintptr_t)message.words, MESSAGE_WORDS * sizeof(void *), 0));
  drop(&message);
  buffer target = make_target(a, message.index);
  scatter(&target, pieces);
  expect("preadv", preadv(a->file, pieces, 2, 0));
  take_message(a, &target, home);
}

void trip_system_set_up(actor *a) {
  a->file = memfd_create("torture", MFD_CLOEXEC);
  if (pipe(a->pipe) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, a->sockets) != 0 || a->file < 0)
    report_call("pipe, socketpair or memfd_create", a->number);
}

void trip_system_tear_down(actor *a) {
  const int files[] = {a->pipe[0], a->pipe[1], a->sockets[0], a->sockets[1], a->file};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    if (close(files[i]) != 0) report_call("close", files[i]);
}
