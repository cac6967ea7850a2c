#ifndef COFFRE_PROCESS_H
#define COFFRE_PROCESS_H
#include <errno.h>
#include <sys/prctl.h>

/// Denies core dumps and ptrace. Returns 0 or an errno. prctl(2) is variadic, so Swift cannot import it.
static inline int coffre_set_undumpable(void) { return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) ? errno : 0; }
#endif
