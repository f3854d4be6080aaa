// Preloaded into a program and all that it starts: counts the calls that change a file or send to a database, over all of
// them together, and from the one with the number FAULT_AT on does what FAULT says:
//   kill       ends their process group, just before that call
//   full       the disk is full: what makes or lengthens a file fails with ENOSPC
//   read-only  the disk is read-only: what changes a file or folder fails with EROFS
//   clock      the clock is a day behind
// FAULT_COUNTER names a file of eight bytes, shared by all, where the count stands. With FAULT_AT=0 it only counts.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

// What a call does.
enum { SENDS, GROWS, CHANGES };

static enum { NONE, KILL, FULL, READ_ONLY, CLOCK } fault;
static uint64_t *counter;
static uint64_t fault_at;

static const char *const faults[] = {"none", "kill", "full", "read-only", "clock"};

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("FAULT_COUNTER"), *at = getenv("FAULT_AT"), *kind = getenv("FAULT");
  if (!file || !at || !kind) return;
  fault_at = strtoull(at, NULL, 10);
  for (int i = 0; fault_at && i < 5; i++) if (strcmp(faults[i], kind) == 0) fault = i;
  int fd = open(file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *shared = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared != MAP_FAILED) counter = shared;
  close(fd);
}

// Counts a call; the error that it ends with, or 0 where it goes on.
static int count(int effect) {
  if (!counter) return 0;
  uint64_t number = __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST);
  if (!fault_at || number < fault_at) return 0;
  if (fault == KILL && number == fault_at) {
    kill(0, SIGKILL);
    // The signal may reach another thread first.
    for (;;) pause();
  }
  if (fault == FULL && effect == GROWS) return ENOSPC;
  if (fault == READ_ONLY && effect != SENDS) return EROFS;
  return 0;
}

// Pipes, terminals and wake-ups between threads change nothing that outlives the program.
static int lasts(int fd, int *effect) {
  struct stat info;
  int saved = errno, yes = 0;
  if (fstat(fd, &info) == 0) {
    if (S_ISREG(info.st_mode)) yes = 1;
    else if (S_ISSOCK(info.st_mode)) {
      *effect = SENDS;
      struct sockaddr_storage address;
      socklen_t length = sizeof address;
      yes = getpeername(fd, (struct sockaddr *)&address, &length) == 0 && (address.ss_family == AF_INET || address.ss_family == AF_INET6);
    }
  }
  errno = saved;
  return yes;
}

#define REAL(type, name, parameters, ...)                                   \
  static type (*real) parameters;                                           \
  if (!real) real = (type (*) parameters)dlsym(RTLD_NEXT, #name);           \
  return real(__VA_ARGS__);

#define STOP_IF(error) int stopped = error; if (stopped) { errno = stopped; return -1; }

#define ALWAYS(effect, type, name, parameters, ...) \
  type name parameters { STOP_IF(count(effect)) REAL(type, name, parameters, __VA_ARGS__) }
#define TO_FD(usual, type, name, parameters, ...) \
  type name parameters { int effect = usual; STOP_IF(lasts(fd, &effect) ? count(effect) : 0) REAL(type, name, parameters, __VA_ARGS__) }

ALWAYS(CHANGES, int, rename, (const char *a, const char *b), a, b)
ALWAYS(CHANGES, int, renameat, (int d, const char *a, int e, const char *b), d, a, e, b)
ALWAYS(CHANGES, int, renameat2, (int d, const char *a, int e, const char *b, unsigned f), d, a, e, b, f)
ALWAYS(GROWS, int, link, (const char *a, const char *b), a, b)
ALWAYS(GROWS, int, linkat, (int d, const char *a, int e, const char *b, int f), d, a, e, b, f)
ALWAYS(GROWS, int, symlink, (const char *a, const char *b), a, b)
ALWAYS(CHANGES, int, unlink, (const char *a), a)
ALWAYS(CHANGES, int, unlinkat, (int d, const char *a, int f), d, a, f)
ALWAYS(GROWS, int, mkdir, (const char *a, mode_t m), a, m)
ALWAYS(GROWS, int, mkdirat, (int d, const char *a, mode_t m), d, a, m)
ALWAYS(CHANGES, int, rmdir, (const char *a), a)
ALWAYS(CHANGES, int, chmod, (const char *a, mode_t m), a, m)
ALWAYS(CHANGES, int, fchmodat, (int d, const char *a, mode_t m, int f), d, a, m, f)
TO_FD(CHANGES, int, fchmod, (int fd, mode_t m), fd, m)
TO_FD(GROWS, int, fsync, (int fd), fd)
TO_FD(GROWS, int, fdatasync, (int fd), fd)
TO_FD(CHANGES, int, ftruncate, (int fd, off_t n), fd, n)
TO_FD(CHANGES, int, ftruncate64, (int fd, off64_t n), fd, n)
TO_FD(GROWS, ssize_t, write, (int fd, const void *b, size_t n), fd, b, n)
TO_FD(GROWS, ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o), fd, b, n, o)
TO_FD(GROWS, ssize_t, pwrite64, (int fd, const void *b, size_t n, off64_t o), fd, b, n, o)
TO_FD(GROWS, ssize_t, writev, (int fd, const struct iovec *v, int n), fd, v, n)
TO_FD(GROWS, ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t o), fd, v, n, o)
TO_FD(GROWS, ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off64_t o), fd, v, n, o)
TO_FD(SENDS, ssize_t, send, (int fd, const void *b, size_t n, int f), fd, b, n, f)
TO_FD(SENDS, ssize_t, sendto, (int fd, const void *b, size_t n, int f, const struct sockaddr *a, socklen_t l), fd, b, n, f, a, l)
TO_FD(SENDS, ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), fd, m, f)
TO_FD(GROWS, ssize_t, copy_file_range, (int in, off64_t *i, int fd, off64_t *o, size_t n, unsigned f), in, i, fd, o, n, f)
TO_FD(GROWS, ssize_t, sendfile, (int fd, int in, off_t *o, size_t n), fd, in, o, n)
TO_FD(GROWS, ssize_t, sendfile64, (int fd, int in, off64_t *o, size_t n), fd, in, o, n)

// Opening changes a file where it makes or empties one; on a full disk it fails, as it does where there is no room for a name.
#define OPENS(name, parameters, flags, ...)                                 \
  int name parameters {                                                     \
    va_list more;                                                           \
    va_start(more, flags);                                                  \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
    va_end(more);                                                           \
    STOP_IF(flags & (O_CREAT | O_TRUNC) ? count(GROWS) : 0)                 \
    static int(*real) parameters;                                           \
    if (!real) real = (int (*) parameters)dlsym(RTLD_NEXT, #name);          \
    return real(__VA_ARGS__, flags, mode);                                  \
  }
OPENS(open, (const char *a, int flags, ...), flags, a)
OPENS(open64, (const char *a, int flags, ...), flags, a)
OPENS(openat, (int d, const char *a, int flags, ...), flags, d, a)
OPENS(openat64, (int d, const char *a, int flags, ...), flags, d, a)

// A clock that is set back shows in files' times as well, but those are the kernel's: programs must not hold one against the other.
static time_t behind(void) { return fault == CLOCK && counter && __atomic_load_n(counter, __ATOMIC_SEQ_CST) >= fault_at ? 24 * 3600 : 0; }

int clock_gettime(clockid_t clock, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = real(clock, at);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) at->tv_sec -= behind();
  return result;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  static int (*real)(struct timeval *, void *);
  if (!real) real = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
  int result = real(at, zone);
  if (result == 0 && at) at->tv_sec -= behind();
  return result;
}
time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
