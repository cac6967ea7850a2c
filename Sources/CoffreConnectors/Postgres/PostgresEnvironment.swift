internal import Glibc

/// What libpq and the resolver would take from the environment.
package enum PostgresEnvironment {
    /// Removes every `PG…` variable and bounds the resolver's patience (resolv.conf(5): 3 s, two attempts).
    ///
    /// Call it once, before any thread starts: the environment is not guarded.
    package static func clear() {
        var names: [String] = []
        var entry = environ
        while let variable = entry.pointee {
            let text = String(cString: variable)
            if text.hasPrefix("PG") { names.append(String(text.prefix { $0 != "=" })) }
            entry += 1
        }
        for name in names { unsetenv(name) }
        setenv("RES_OPTIONS", "timeout:3 attempts:2", 1)
    }
}
