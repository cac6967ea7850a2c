/// Where a PostgreSQL server is and how to reach it, read from the `connection_url` of Vault's database engine.
///
/// Two forms, as libpq knows them (PostgreSQL manual, "Connection Strings"), reduced to what is safe to take from a
/// caller: one TCP host, no option that reads files or changes the session, and no credential in the text:
/// `postgresql://{{username}}:{{password}}@host:port/database?sslmode=…&sslrootcert=…&ssl_min_protocol_version=…` and
/// `host=… port=… dbname=… user={{username}} password={{password}} sslmode=…`.
public struct PostgresTarget: Sendable, Equatable {
    /// Name, IPv4 or IPv6 address (without brackets) of the server.
    public let host: String
    /// TCP port, 5432 when the text has none.
    public let port: UInt16
    /// The database.
    public let database: String
    /// How the connection is protected, verify-full when the text says nothing.
    public let tls: BrokerJob.TLS
    /// TLS 1.3 unless the text chooses 1.2.
    public let minimumTLS: BrokerJob.MinimumTLS
    /// Absolute path of a PEM file, nil for the system's certificates.
    public let rootCertificatePath: String?

    /// Longest accepted text, in bytes.
    public static let maximumBytes = 4096

    /// Parses a `connection_url`.
    /// - Throws: ``PostgresTargetError`` on anything but the two forms above.
    public init(connectionURL text: String) throws(PostgresTargetError) {
        guard text.utf8.count <= Self.maximumBytes else {
            throw PostgresTargetError("connection_url is longer than 4096 bytes")
        }
        guard text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7f }) else {
            throw PostgresTargetError("connection_url holds a control character")
        }
        let scheme = ["postgresql://", "postgres://"].first { text.hasPrefix($0) }
        guard let scheme else {
            try self.init(try Self.keywordSettings(text))
            return
        }
        try self.init(try Self.urlSettings(text.dropFirst(scheme.utf8.count)))
    }

    /// The same from single fields, with the same checks.
    /// - Parameters:
    ///   - port: nil for 5432.
    ///   - mode: `verify-full`, `require` or `disable`; nil for the first.
    ///   - minimumTLS: `TLSv1.3` or `TLSv1.2`; nil for the first.
    /// - Throws: ``PostgresTargetError``.
    public init(
        host: String,
        port: String?,
        database: String,
        mode: String?,
        minimumTLS: String? = nil
    ) throws(PostgresTargetError) {
        var settings = ["host": host, "dbname": database]
        settings["port"] = port
        settings["sslmode"] = mode
        settings["ssl_min_protocol_version"] = minimumTLS
        try self.init(settings)
    }

    private init(_ settings: [String: String]) throws(PostgresTargetError) {
        var settings = settings
        if let user = settings.removeValue(forKey: "user"), user != "{{username}}" {
            throw PostgresTargetError(
                "write {{username}} in connection_url and put the user name into the field username"
            )
        }
        if let password = settings.removeValue(forKey: "password"), password != "{{password}}" {
            throw PostgresTargetError(
                "write {{password}} in connection_url and put the password into the field password"
            )
        }
        guard let host = settings.removeValue(forKey: "host"), !host.isEmpty else {
            throw PostgresTargetError("connection_url names no host; Unix sockets are not reachable for the broker")
        }
        self.host = try Self.checkedHost(host)
        if let text = settings.removeValue(forKey: "port") { port = try Self.checkedPort(text) } else { port = 5432 }
        guard let database = settings.removeValue(forKey: "dbname"), !database.isEmpty else {
            throw PostgresTargetError("connection_url names no database: end it with /DATABASE, or add dbname=DATABASE")
        }
        guard database.utf8.count <= BrokerJob.Limit.identifier else {
            throw PostgresTargetError("the name of the database in connection_url is longer than 63 bytes")
        }
        self.database = database
        tls = try Self.checkedMode(settings.removeValue(forKey: "sslmode"))
        switch settings.removeValue(forKey: "ssl_min_protocol_version") {
        case nil, "TLSv1.3": minimumTLS = .tls13
        case "TLSv1.2": minimumTLS = .tls12
        default: throw PostgresTargetError("ssl_min_protocol_version in connection_url is TLSv1.3 or TLSv1.2")
        }
        switch settings.removeValue(forKey: "sslrootcert") {
        case nil, "system": rootCertificatePath = nil
        case .some(let path):
            guard path.hasPrefix("/"), path.utf8.count <= 1024 else {
                throw PostgresTargetError("sslrootcert in connection_url is an absolute path, or system")
            }
            rootCertificatePath = path
        }
        guard settings.isEmpty else {
            throw PostgresTargetError(
                "connection_url holds an option other than sslmode, sslrootcert and ssl_min_protocol_version"
            )
        }
    }

    private static func checkedMode(_ mode: String?) throws(PostgresTargetError) -> BrokerJob.TLS {
        switch mode {
        case nil, "verify-full": return .verifyFull
        case "require": return .require
        case "disable": return .disable
        case "prefer", "allow":
            throw PostgresTargetError(
                "sslmode prefer and allow let anyone on the way switch encryption off: use verify-full, or disable"
            )
        case "verify-ca":
            throw PostgresTargetError("sslmode verify-ca does not check the server's name: use verify-full")
        default: throw PostgresTargetError("sslmode in connection_url is verify-full, require or disable")
        }
    }

    private static func checkedPort(_ text: String) throws(PostgresTargetError) -> UInt16 {
        guard text.utf8.allSatisfy({ (48...57).contains($0) }), let port = UInt16(text), port != 0 else {
            throw PostgresTargetError("the port in connection_url is a number from 1 to 65535")
        }
        return port
    }

    /// A DNS name (RFC 1123 §2.1, `_` tolerated), an IPv4 or an IPv6 address; no list, no path.
    private static func checkedHost(_ host: String) throws(PostgresTargetError) -> String {
        guard !host.contains(",") else { throw PostgresTargetError("connection_url names more than one host") }
        guard !host.hasPrefix("/"), !host.hasPrefix("@") else {
            throw PostgresTargetError("connection_url names a Unix socket, which the broker may not reach")
        }
        let isAddress = host.contains(":")
        let allowed = host.utf8.allSatisfy { character in
            switch character {
            case 0x30...0x39, 0x2e: true
            case 0x41...0x46, 0x61...0x66: true
            case 0x3a: isAddress
            case 0x47...0x5a, 0x67...0x7a, 0x2d, 0x5f: !isAddress
            default: false
            }
        }
        let labels = host.split(separator: ".", omittingEmptySubsequences: false)
        let shaped =
            isAddress
            || (labels.allSatisfy { label in
                (1...63).contains(label.utf8.count) && !label.hasPrefix("-") && !label.hasSuffix("-")
            })
        guard allowed, shaped, host.utf8.count <= BrokerJob.Limit.host else {
            throw PostgresTargetError("the host in connection_url is not a host name or address")
        }
        return host
    }
}
