#ifndef COFFRE_FILE_H
#define COFFRE_FILE_H
// Declarations only: the system headers that the bodies need would leak glibc's types into this module.

/// Opens `path` below the folder `root` without following any symbolic link and without leaving it (openat2(2)).
/// Close-on-exec. Returns a descriptor, or -1 with errno. glibc has no wrapper.
int coffre_open_beneath(int root, const char *_Nonnull path, int flags, unsigned int mode);

/// Opens a folder by absolute path, close-on-exec; a symbolic link as the last part is refused (open(2) is variadic).
/// Returns a descriptor, or -1 with errno.
int coffre_open_folder(const char *_Nonnull path);

/// Takes an exclusive open-file-description lock on the whole file without waiting (fcntl(2), F_OFD_SETLK, variadic).
/// Returns 0 or an errno; EAGAIN or EACCES when somebody else holds it.
int coffre_lock_exclusive(int fd);

/// Exchanges two files in one step (renameat2(2), RENAME_EXCHANGE). Returns 0, or -1 with errno; EINVAL when the file
/// system cannot do it.
int coffre_exchange_files(const char *_Nonnull left, const char *_Nonnull right);

/// Sets blocks aside for the first `length` bytes of a file (fallocate(2)); with `keeps_size` its length stays as it is
/// (FALLOC_FL_KEEP_SIZE). Returns 0 or an errno; EOPNOTSUPP when the file system cannot do it.
int coffre_allocate(int fd, int keeps_size, long long length);

/// Gives a file another name where none is (renameat2(2), RENAME_NOREPLACE). Returns 0, or -1 with errno; EEXIST when the
/// name is taken, EINVAL when the file system cannot do it.
int coffre_rename_new(int from, const char *_Nonnull name, int to, const char *_Nonnull target);

/// What statfs(2) says of the file system of `fd`.
struct coffre_space {
    /// Bytes that an unprivileged process may still take, and all bytes.
    unsigned long long free_bytes, total_bytes;
    /// Files that may still be made, and all; both 0 where that is not limited.
    unsigned long long free_files, total_files;
    /// btrfs, ZFS or bcachefs: a block that was set aside may still be missing when it is written.
    int copies_on_write;
};

/// Returns 0 or an errno.
int coffre_space_of(int fd, struct coffre_space *_Nonnull space);
#endif
