#ifndef COFFRE_LOCK_H
#define COFFRE_LOCK_H
#include <errno.h>
#include <fcntl.h>

#ifndef F_OFD_SETLK
#define F_OFD_SETLK 37
#endif

/// Takes an exclusive lock of the open file description (fcntl(2), F_OFD_SETLK) on all of `fd` without waiting.
/// Returns 0 or an errno: EAGAIN or EACCES when another process holds it. fcntl(2) is variadic, so Swift cannot
/// import it with a pointer to the C structure.
static inline int coffre_lock_exclusive(int fd) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0, .l_pid = 0};
    return fcntl(fd, F_OFD_SETLK, &lock) ? errno : 0;
}
#endif
