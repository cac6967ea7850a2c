internal import CCoffreShims
internal import Glibc

/// What a process that holds secrets denies itself and others, beyond what its unit says.
package enum ProcessHardening {
    /// No core file, no ptrace by equals, no privileges by execve, no file for group or others by default.
    ///
    /// Call it first thing, before any thread is made: the last step counts for the calling thread and those it starts.
    /// Afterwards: `PR_SET_DUMPABLE` 0, `RLIMIT_CORE` 0, `PR_SET_NO_NEW_PRIVS`, umask 027, and a crash ends the process:
    /// the Swift runtime's backtracer, which would stop it and read its memory, is taken out.
    /// - Throws: ``HostError`` `.system` for the step that failed; the service should not start then.
    package static func apply() throws(HostError) {
        var failure = coffre_set_undumpable()
        guard failure == 0 else { throw .system("cannot forbid core dumps", failure) }
        var none = rlimit(rlim_cur: 0, rlim_max: 0)
        guard setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none) == 0 else {
            throw .system("cannot set the core file limit", errno)
        }
        failure = coffre_set_no_new_privileges()
        guard failure == 0 else { throw .system("cannot give up new privileges", failure) }
        umask(0o027)
        for number in [SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGQUIT, SIGSEGV, SIGTRAP] { signal(number, SIG_DFL) }
    }

    /// Whether the kernel still allows dumps of this process.
    package static var isDumpable: Bool { coffre_get_dumpable() != 0 }
}
