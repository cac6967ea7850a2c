#define _GNU_SOURCE
#include "include/coffre_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

// Kernels and containers without openat2(2): one component at a time, none of them a symbolic link, none of them "..".
static int coffre_open_walking(int root, const char *path, int flags, unsigned int mode) {
    char part[256];
    int folder = root;
    if (path[0] == '/') {
        errno = EXDEV;
        return -1;
    }
    for (;;) {
        const char *slash = strchr(path, '/');
        size_t length = slash ? (size_t)(slash - path) : strlen(path);
        int fd = -1, failure = 0;
        if (length == 0 || length >= sizeof part) {
            failure = length ? ENAMETOOLONG : ENOENT;
        } else {
            memcpy(part, path, length);
            part[length] = 0;
            if (strcmp(part, "..") == 0) {
                failure = EXDEV;
            } else {
                int last = slash == NULL;
                do {
                    fd = openat(folder, part, (last ? flags : O_RDONLY | O_DIRECTORY) | O_CLOEXEC | O_NOFOLLOW, mode);
                } while (fd < 0 && errno == EINTR);
                if (fd < 0) failure = errno;
            }
        }
        if (folder != root) close(folder);
        if (failure) {
            errno = failure;
            return -1;
        }
        if (slash == NULL) return fd;
        folder = fd;
        path = slash + 1;
    }
}

int coffre_open_beneath(int root, const char *path, int flags, unsigned int mode) {
    struct open_how how;
    memset(&how, 0, sizeof how);
    how.flags = (unsigned long long)(unsigned int)(flags | O_CLOEXEC | O_NOFOLLOW);
    how.mode = (flags & O_CREAT) ? mode : 0;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    long fd;
    do {
        fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    if (fd < 0 && errno == ENOSYS) return coffre_open_walking(root, path, flags, mode);
    return (int)fd;
}

int coffre_open_folder(const char *path) { return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW); }

int coffre_lock_exclusive(int fd) {
    struct flock lock;
    memset(&lock, 0, sizeof lock);
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return fcntl(fd, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

int coffre_exchange_files(const char *left, const char *right) {
    return (int)syscall(SYS_renameat2, AT_FDCWD, left, AT_FDCWD, right, 2 /* RENAME_EXCHANGE */);
}

int coffre_allocate(int fd, int keeps_size, long long length) {
    int failed;
    do {
        failed = fallocate(fd, keeps_size ? FALLOC_FL_KEEP_SIZE : 0, 0, (off_t)length);
    } while (failed && errno == EINTR);
    return failed ? errno : 0;
}

int coffre_rename_new(int from, const char *name, int to, const char *target) {
    return (int)syscall(SYS_renameat2, from, name, to, target, 1 /* RENAME_NOREPLACE */);
}

int coffre_space_of(int fd, struct coffre_space *space) {
    struct statfs now;
    int failed;
    do {
        failed = fstatfs(fd, &now);
    } while (failed && errno == EINTR);
    if (failed) return errno;
    unsigned long long block = now.f_frsize > 0 ? (unsigned long long)now.f_frsize : (unsigned long long)now.f_bsize;
    space->free_bytes = (unsigned long long)now.f_bavail * block;
    space->total_bytes = (unsigned long long)now.f_blocks * block;
    space->free_files = (unsigned long long)now.f_ffree;
    space->total_files = (unsigned long long)now.f_files;
    unsigned int magic = (unsigned int)now.f_type;
    space->copies_on_write = magic == 0x9123683eU /* btrfs */ || magic == 0x2fc12fc1U /* ZFS */ ||
                             magic == 0xca451a4eU /* bcachefs */;
    return 0;
}
