// SPDX-License-Identifier: Apache-2.0
// A slow disk: preloaded, a page that pread finds out of memory takes $PAGES_MS more. Each such wait of the process's first
// thread is a line in $PAGES_LOG.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static void dawdle(int file, void *into, size_t size, off64_t at) {
    const char *ms = getenv("PAGES_MS"), *path = getenv("PAGES_LOG");
    struct iovec part = {into, size};
    if (!ms || !path || preadv64v2(file, &part, 1, at, RWF_NOWAIT) >= 0 || errno != EAGAIN) return;
    struct timespec left = {atol(ms) / 1000, atol(ms) % 1000 * 1000000};
    while (nanosleep(&left, &left) && errno == EINTR) continue;
    if (syscall(SYS_gettid) != getpid()) return;
    int log = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    if (log >= 0) {
        if (write(log, "\n", 1) != 1) abort();
        close(log);
    }
}

ssize_t pread64(int file, void *into, size_t size, off64_t at) {
    dawdle(file, into, size, at);
    return ((ssize_t (*)(int, void *, size_t, off64_t))dlsym(RTLD_NEXT, "pread64"))(file, into, size, at);
}

ssize_t pread(int file, void *into, size_t size, off_t at) {
    dawdle(file, into, size, at);
    return ((ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread"))(file, into, size, at);
}
