import Glibc

/// Standard output. All results go through it; only what the argument parser prints (help, version, completion) goes
/// through the buffer of the C library, which ``endings()`` looks after.
enum StandardOutput {
    /// Writes everything.
    ///
    /// A reader that has gone ends the program without a word, as it ends any filter: 128 + SIGPIPE is what a shell calls
    /// that.
    /// - Throws: ``Failure`` when it is refused, by a full disk for instance.
    static func write(_ bytes: [UInt8]) throws(Failure) {
        guard !writeAll(bytes, to: STDOUT_FILENO) else { return }
        if errno == EPIPE { exit(128 + SIGPIPE) }
        throw refused()
    }

    /// - Throws: ``Failure`` when it is a terminal, which bytes that are no text would upset.
    static func refuseTerminal() throws(Failure) {
        guard isatty(STDOUT_FILENO) == 0 else {
            throw Failure(
                "standard output is a terminal: redirect it, or name a file",
                "la sortie standard est un terminal : redirigez-la ou nommez un fichier",
                .usage
            )
        }
    }

    /// Sees to it that nothing printed is lost without an error. To be called once, before anything is opened.
    static func endings() {
        // Closed descriptors would be those of the next files opened, and what is printed would go into these. One that
        // can only be read refuses instead.
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
            _ = open("/dev/null", O_RDONLY)
        }
        atexit {
            guard fflush(nil) != 0 else { return }
            let language = Language.preferred(environmentValue)
            Console(format: .table, language: language).note(StandardOutput.refused().message)
            _exit(ExitStatus.error.rawValue)
        }
    }

    /// As `errno` has it.
    private static func refused() -> Failure {
        let reason = String(cString: strerror(errno))
        return Failure(
            "standard output cannot be written: \(reason)",
            "écriture impossible sur la sortie standard : \(reason)"
        )
    }
}
