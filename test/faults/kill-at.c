// Preloaded into a program and all that it starts: counts the calls that change a file or send to a database, over all of
// them together, and kills their process group just before the one with the number KILL_AT. KILL_COUNTER names a file of
// eight bytes, shared by all, where the count stands. With KILL_AT=0 it only counts.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static uint64_t *counter;
static uint64_t kill_at;

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("KILL_COUNTER"), *at = getenv("KILL_AT");
  if (!file || !at) return;
  kill_at = strtoull(at, NULL, 10);
  int fd = open(file, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void *shared = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared != MAP_FAILED) counter = shared;
  close(fd);
}

static void count(void) {
  if (counter && __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST) == kill_at) {
    kill(0, SIGKILL);
    // The signal may reach another thread first.
    for (;;) pause();
  }
}

// Pipes, terminals and wake-ups between threads change nothing that outlives the program.
static int lasts(int fd) {
  struct stat info;
  int saved = errno, yes = 0;
  if (fstat(fd, &info) == 0) {
    if (S_ISREG(info.st_mode)) yes = 1;
    else if (S_ISSOCK(info.st_mode)) {
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

#define ALWAYS(type, name, parameters, ...) \
  type name parameters { count(); REAL(type, name, parameters, __VA_ARGS__) }
#define TO_FD(type, name, parameters, ...) \
  type name parameters { if (lasts(fd)) count(); REAL(type, name, parameters, __VA_ARGS__) }

ALWAYS(int, rename, (const char *a, const char *b), a, b)
ALWAYS(int, renameat, (int d, const char *a, int e, const char *b), d, a, e, b)
ALWAYS(int, renameat2, (int d, const char *a, int e, const char *b, unsigned f), d, a, e, b, f)
ALWAYS(int, link, (const char *a, const char *b), a, b)
ALWAYS(int, linkat, (int d, const char *a, int e, const char *b, int f), d, a, e, b, f)
ALWAYS(int, symlink, (const char *a, const char *b), a, b)
ALWAYS(int, unlink, (const char *a), a)
ALWAYS(int, unlinkat, (int d, const char *a, int f), d, a, f)
ALWAYS(int, mkdir, (const char *a, mode_t m), a, m)
ALWAYS(int, mkdirat, (int d, const char *a, mode_t m), d, a, m)
ALWAYS(int, rmdir, (const char *a), a)
ALWAYS(int, chmod, (const char *a, mode_t m), a, m)
ALWAYS(int, fchmodat, (int d, const char *a, mode_t m, int f), d, a, m, f)
TO_FD(int, fchmod, (int fd, mode_t m), fd, m)
TO_FD(int, fsync, (int fd), fd)
TO_FD(int, fdatasync, (int fd), fd)
TO_FD(int, ftruncate, (int fd, off_t n), fd, n)
TO_FD(int, ftruncate64, (int fd, off64_t n), fd, n)
TO_FD(ssize_t, write, (int fd, const void *b, size_t n), fd, b, n)
TO_FD(ssize_t, pwrite, (int fd, const void *b, size_t n, off_t o), fd, b, n, o)
TO_FD(ssize_t, pwrite64, (int fd, const void *b, size_t n, off64_t o), fd, b, n, o)
TO_FD(ssize_t, writev, (int fd, const struct iovec *v, int n), fd, v, n)
TO_FD(ssize_t, pwritev, (int fd, const struct iovec *v, int n, off_t o), fd, v, n, o)
TO_FD(ssize_t, pwritev64, (int fd, const struct iovec *v, int n, off64_t o), fd, v, n, o)
TO_FD(ssize_t, send, (int fd, const void *b, size_t n, int f), fd, b, n, f)
TO_FD(ssize_t, sendto, (int fd, const void *b, size_t n, int f, const struct sockaddr *a, socklen_t l), fd, b, n, f, a, l)
TO_FD(ssize_t, sendmsg, (int fd, const struct msghdr *m, int f), fd, m, f)
TO_FD(ssize_t, copy_file_range, (int in, off64_t *i, int fd, off64_t *o, size_t n, unsigned f), in, i, fd, o, n, f)
TO_FD(ssize_t, sendfile, (int fd, int in, off_t *o, size_t n), fd, in, o, n)
TO_FD(ssize_t, sendfile64, (int fd, int in, off64_t *o, size_t n), fd, in, o, n)

// Opening changes a file where it makes or empties one.
#define OPENS(name, parameters, flags, ...)                                 \
  int name parameters {                                                     \
    va_list more;                                                           \
    va_start(more, flags);                                                  \
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0; \
    va_end(more);                                                           \
    if (flags & (O_CREAT | O_TRUNC)) count();                               \
    static int(*real) parameters;                                           \
    if (!real) real = (int (*) parameters)dlsym(RTLD_NEXT, #name);          \
    return real(__VA_ARGS__, flags, mode);                                  \
  }
OPENS(open, (const char *a, int flags, ...), flags, a)
OPENS(open64, (const char *a, int flags, ...), flags, a)
OPENS(openat, (int d, const char *a, int flags, ...), flags, d, a)
OPENS(openat64, (int d, const char *a, int flags, ...), flags, d, a)
