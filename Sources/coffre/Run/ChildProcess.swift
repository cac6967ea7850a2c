import Glibc

/// Starts a command with an environment of its own; the one of this process never holds a secret.
enum ChildProcess {
    /// - Parameters:
    ///   - command: found by `PATH` unless it has a slash, and its arguments.
    ///   - adding: variables that replace or complete the inherited ones.
    ///   - removing: variables that the child does not inherit.
    ///   - output: a descriptor for its standard output and error; nil passes on those of this process.
    /// - Throws: ``Failure`` with 127 when there is no such command, 126 when it cannot be executed.
    static func spawn(
        _ command: [String],
        adding: [(String, String)],
        removing: Set<String>,
        output: Int32? = nil
    ) throws -> pid_t {
        let names = removing.union(adding.map(\.0))
        var environment: [UnsafeMutablePointer<CChar>?] = []
        var inherited = environ
        while let entry = inherited.pointee {
            let text = String(cString: entry)
            if !names.contains(String(text.prefix { $0 != "=" })) { environment.append(strdup(entry)) }
            inherited += 1
        }
        for (name, value) in adding { environment.append(strdup("\(name)=\(value)")) }
        defer {
            for case let entry? in environment {
                explicit_bzero(entry, strlen(entry))
                free(entry)
            }
        }
        let arguments = command.map { strdup($0) }
        defer { for argument in arguments { free(argument) } }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // Threads of the runtime block signals, and the network library ignores SIGPIPE: the child gets neither.
        var mask = InheritedSignals.mask
        posix_spawnattr_setsigmask(&attributes, &mask)
        var defaults = sigset_t()
        sigemptyset(&defaults)
        if !InheritedSignals.isIgnored(SIGPIPE) { sigaddset(&defaults, SIGPIPE) }
        posix_spawnattr_setsigdefault(&attributes, &defaults)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let output {
            posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
            posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO)
        }
        var pid: pid_t = 0
        let code = posix_spawnp(&pid, command[0], &actions, &attributes, arguments + [nil], environment + [nil])
        guard code == 0 else {
            let reason = String(cString: strerror(code))
            let status: ExitStatus = code == ENOENT ? .commandNotFound : .cannotExecute
            throw Failure("\(command[0]): \(reason)", "\(command[0]) : \(reason)", status)
        }
        return pid
    }
}
