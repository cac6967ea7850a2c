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
#endif
