#ifndef COFFRE_HOST_H
#define COFFRE_HOST_H
// The kernel's word on the process at the other end of a Unix socket, and what else a Linux service asks of it.
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/socket.h>

/// SOCK_STREAM. Swift sees glibc's socket types in whichever C module included them first, so that a release build may not
/// find them where a debug build does; this one has a fixed home.
static const int32_t coffre_sock_stream = SOCK_STREAM;

/// A new close-on-exec Unix stream socket (socket(2)). Returns the descriptor, or -errno.
static inline int coffre_unix_stream_socket(int nonblocking) {
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0), 0);
    return fd < 0 ? -errno : fd;
}

/// SO_PEERCRED (unix(7)): who connected, or who called listen(2). Returns 0 or an errno.
static inline int coffre_peer_credentials(int fd, int32_t *_Nonnull pid, uint32_t *_Nonnull uid, uint32_t *_Nonnull gid) {
    struct { int32_t pid; uint32_t uid; uint32_t gid; } peer = {0, 0, 0};  // struct ucred, which needs _GNU_SOURCE
    socklen_t length = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, 17 /* SO_PEERCRED */, &peer, &length) != 0) return errno;
    if (length != sizeof peer) return EINVAL;
    *pid = peer.pid;
    *uid = peer.uid;
    *gid = peer.gid;
    return 0;
}

/// SO_PEERGROUPS (Linux 4.13): supplementary groups. `bytes` holds the buffer's size before and the list's after; ERANGE
/// says that the buffer is too small. Returns 0 or an errno.
static inline int coffre_peer_groups(int fd, uint32_t *_Nullable groups, uint32_t *_Nonnull bytes) {
    socklen_t length = *bytes;
    int failed = getsockopt(fd, SOL_SOCKET, 59 /* SO_PEERGROUPS */, groups, &length) != 0;
    *bytes = length;
    return failed ? errno : 0;
}

/// SO_PEERPIDFD (Linux 6.5): a close-on-exec pidfd of the peer, which cannot come to mean another process.
/// Returns the descriptor, or -errno: -ENOPROTOOPT on older kernels, -EINVAL or -ESRCH when the process has gone.
static inline int coffre_peer_pidfd(int fd) {
    int pidfd = -1;
    socklen_t length = sizeof pidfd;
    if (getsockopt(fd, SOL_SOCKET, 77 /* SO_PEERPIDFD */, &pidfd, &length) != 0) return -errno;
    return pidfd;
}

/// Whether the process of a pidfd has not exited (pidfd_open(2): it becomes readable at exit). Does not block.
static inline int coffre_pidfd_is_alive(int pidfd) {
    struct pollfd entry = {.fd = pidfd, .events = POLLIN, .revents = 0};
    int ready;
    do { ready = poll(&entry, 1, 0); } while (ready < 0 && errno == EINTR);
    return ready == 0;
}

/// No execve(2) from here on grants privileges, and filters may be installed. Returns 0 or an errno.
static inline int coffre_set_no_new_privileges(void) { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ? errno : 0; }

/// Whether the process may be dumped or traced: 0 means no. Returns a negative errno on failure.
static inline int coffre_get_dumpable(void) {
    int value = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    return value < 0 ? -errno : value;
}
#endif
