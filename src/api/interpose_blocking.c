/* api/interpose_blocking.c - input and output that may block, in blocking regions (api/interpose_region.h).
 *
 * Beside not being interrupted: a signal cuts a write to a pipe or socket short, and makes socket calls with a timeout
 * fail, even with SA_RESTART (signal(7)). What the kernel reads or writes meanwhile may be objects of the heap; that is
 * as if the program had done it before or after the collection, and no pointer of ours comes out of a file. */
#undef _FORTIFY_SOURCE /* it would define some of these itself */
#include <fcntl.h>
#include <sys/msg.h>
#include <sys/random.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "api/interpose.h"
#include "api/interpose_region.h"

const char tri_interpose_anchor_blocking = 0;

/* What a program compiled with _FORTIFY_SOURCE calls where it knows the size of the buffer. */
TRI_INTERPOSED ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room);
TRI_INTERPOSED ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags);
TRI_INTERPOSED ssize_t __recvfrom_chk(int fd, void *buffer, size_t size, size_t room, int flags, __SOCKADDR_ARG address,
                                      socklen_t *length);
_Noreturn void __chk_fail(void); /* the C library's */

TRI_INTERPOSES(read);
TRI_INTERPOSES(readv);
TRI_INTERPOSES(write);
TRI_INTERPOSES(writev);
TRI_INTERPOSES(preadv2);
TRI_INTERPOSES(pwritev2);
TRI_INTERPOSES(sendfile);
TRI_INTERPOSES(splice);
TRI_INTERPOSES(tee);
TRI_INTERPOSES(vmsplice);
TRI_INTERPOSES(getrandom);
TRI_INTERPOSES(tcdrain);
TRI_INTERPOSES(recv);
TRI_INTERPOSES(recvfrom);
TRI_INTERPOSES(recvmsg);
TRI_INTERPOSES(recvmmsg);
TRI_INTERPOSES(send);
TRI_INTERPOSES(sendto);
TRI_INTERPOSES(sendmsg);
TRI_INTERPOSES(sendmmsg);
TRI_INTERPOSES(accept);
TRI_INTERPOSES(accept4);
TRI_INTERPOSES(connect);
TRI_INTERPOSES(msgrcv);
TRI_INTERPOSES(msgsnd);
TRI_INTERPOSES(semop);
TRI_INTERPOSES(wait);
TRI_INTERPOSES(waitpid);
TRI_INTERPOSES(wait3);
TRI_INTERPOSES(wait4);
TRI_INTERPOSES(waitid);

TRI_UNSANITIZED_BEGIN

/* ---- files ---- */

TRI_INTERPOSED ssize_t read(int fd, void *buffer, size_t size) {
  return TRI_BLOCKING(TRI_REAL(read)(fd, buffer, size), buffer);
}

TRI_INTERPOSED ssize_t readv(int fd, const struct iovec *parts, int count) {
  return TRI_BLOCKING(TRI_REAL(readv)(fd, parts, count), parts);
}

TRI_INTERPOSED ssize_t write(int fd, const void *buffer, size_t size) {
  return TRI_BLOCKING(TRI_REAL(write)(fd, buffer, size), buffer);
}

TRI_INTERPOSED ssize_t writev(int fd, const struct iovec *parts, int count) {
  return TRI_BLOCKING(TRI_REAL(writev)(fd, parts, count), parts);
}

/* These wait where the file is a pipe or a socket: the first ones given the offset -1. off_t has 64 bits everywhere. */

TRI_INTERPOSED ssize_t preadv2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
  return TRI_BLOCKING(TRI_REAL(preadv2)(fd, parts, count, offset, flags), parts);
}

TRI_INTERPOSED ssize_t preadv64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags) {
  return preadv2(fd, parts, count, offset, flags);
}

TRI_INTERPOSED ssize_t pwritev2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
  return TRI_BLOCKING(TRI_REAL(pwritev2)(fd, parts, count, offset, flags), parts);
}

TRI_INTERPOSED ssize_t pwritev64v2(int fd, const struct iovec *parts, int count, off64_t offset, int flags) {
  return pwritev2(fd, parts, count, offset, flags);
}

TRI_INTERPOSED ssize_t sendfile(int to, int from, off_t *offset, size_t size) {
  return TRI_BLOCKING(TRI_REAL(sendfile)(to, from, offset, size), offset);
}

TRI_INTERPOSED ssize_t sendfile64(int to, int from, off64_t *offset, size_t size) {
  return sendfile(to, from, offset, size);
}

TRI_INTERPOSED ssize_t splice(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size, unsigned flags) {
  return TRI_BLOCKING(TRI_REAL(splice)(from, from_offset, to, to_offset, size, flags), from_offset, to_offset);
}

TRI_INTERPOSED ssize_t tee(int from, int to, size_t size, unsigned flags) {
  return TRI_BLOCKING(TRI_REAL(tee)(from, to, size, flags), NULL);
}

TRI_INTERPOSED ssize_t vmsplice(int to, const struct iovec *parts, size_t count, unsigned flags) {
  return TRI_BLOCKING(TRI_REAL(vmsplice)(to, parts, count, flags), parts);
}

TRI_INTERPOSED ssize_t getrandom(void *buffer, size_t size, unsigned flags) {
  return TRI_BLOCKING(TRI_REAL(getrandom)(buffer, size, flags), buffer);
}

TRI_INTERPOSED int tcdrain(int fd) { return TRI_BLOCKING(TRI_REAL(tcdrain)(fd), NULL); }

/* ---- sockets ---- */

TRI_INTERPOSED ssize_t recv(int fd, void *buffer, size_t size, int flags) {
  return TRI_BLOCKING(TRI_REAL(recv)(fd, buffer, size, flags), buffer);
}

static struct sockaddr *plain(__SOCKADDR_ARG address) { return address.__sockaddr__; }

TRI_INTERPOSED ssize_t recvfrom(int fd, void *buffer, size_t size, int flags, __SOCKADDR_ARG address,
                                socklen_t *length) {
  return TRI_BLOCKING(TRI_REAL(recvfrom)(fd, buffer, size, flags, address, length), buffer, plain(address), length);
}

TRI_INTERPOSED ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
  return TRI_BLOCKING(TRI_REAL(recvmsg)(fd, message, flags), message);
}

TRI_INTERPOSED int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout) {
  return TRI_BLOCKING(TRI_REAL(recvmmsg)(fd, messages, count, flags, timeout), messages, timeout);
}

TRI_INTERPOSED ssize_t send(int fd, const void *buffer, size_t size, int flags) {
  return TRI_BLOCKING(TRI_REAL(send)(fd, buffer, size, flags), buffer);
}

TRI_INTERPOSED ssize_t sendto(int fd, const void *buffer, size_t size, int flags, __CONST_SOCKADDR_ARG address,
                              socklen_t length) {
  return TRI_BLOCKING(TRI_REAL(sendto)(fd, buffer, size, flags, address, length), buffer, address.__sockaddr__);
}

TRI_INTERPOSED ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  return TRI_BLOCKING(TRI_REAL(sendmsg)(fd, message, flags), message);
}

TRI_INTERPOSED int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
  return TRI_BLOCKING(TRI_REAL(sendmmsg)(fd, messages, count, flags), messages);
}

TRI_INTERPOSED int accept(int fd, __SOCKADDR_ARG address, socklen_t *length) {
  return TRI_BLOCKING(TRI_REAL(accept)(fd, address, length), plain(address), length);
}

TRI_INTERPOSED int accept4(int fd, __SOCKADDR_ARG address, socklen_t *length, int flags) {
  return TRI_BLOCKING(TRI_REAL(accept4)(fd, address, length, flags), plain(address), length);
}

/* A second connect on a socket that is connecting waits for the first. */
TRI_INTERPOSED int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t length) {
  return TRI_BLOCKING(TRI_REAL(connect)(fd, address, length), address.__sockaddr__);
}

/* ---- their checked forms ---- */

TRI_INTERPOSED ssize_t __read_chk(int fd, void *buffer, size_t size, size_t room) {
  if (size > room) __chk_fail();
  return read(fd, buffer, size);
}

TRI_INTERPOSED ssize_t __recv_chk(int fd, void *buffer, size_t size, size_t room, int flags) {
  if (size > room) __chk_fail();
  return recv(fd, buffer, size, flags);
}

TRI_INTERPOSED ssize_t __recvfrom_chk(int fd, void *buffer, size_t size, size_t room, int flags, __SOCKADDR_ARG address,
                                      socklen_t *length) {
  if (size > room) __chk_fail();
  return recvfrom(fd, buffer, size, flags, address, length);
}

/* ---- System V messages and semaphores ---- */

TRI_INTERPOSED ssize_t msgrcv(int queue, void *message, size_t size, long type, int flags) {
  return TRI_BLOCKING(TRI_REAL(msgrcv)(queue, message, size, type, flags), message);
}

TRI_INTERPOSED int msgsnd(int queue, const void *message, size_t size, int flags) {
  return TRI_BLOCKING(TRI_REAL(msgsnd)(queue, message, size, flags), message);
}

TRI_INTERPOSED int semop(int set, struct sembuf *operations, size_t count) {
  return TRI_BLOCKING(TRI_REAL(semop)(set, operations, count), operations);
}

/* ---- children ---- */

TRI_INTERPOSED pid_t wait(int *status) { return TRI_BLOCKING(TRI_REAL(wait)(status), status); }

TRI_INTERPOSED pid_t waitpid(pid_t child, int *status, int options) {
  return TRI_BLOCKING(TRI_REAL(waitpid)(child, status, options), status);
}

TRI_INTERPOSED pid_t wait3(int *status, int options, struct rusage *usage) {
  return TRI_BLOCKING(TRI_REAL(wait3)(status, options, usage), status, usage);
}

TRI_INTERPOSED pid_t wait4(pid_t child, int *status, int options, struct rusage *usage) {
  return TRI_BLOCKING(TRI_REAL(wait4)(child, status, options, usage), status, usage);
}

TRI_INTERPOSED int waitid(idtype_t kind, id_t id, siginfo_t *info, int options) {
  return TRI_BLOCKING(TRI_REAL(waitid)(kind, id, info, options), info);
}

TRI_UNSANITIZED_END
