/// Where a web server listens: an absolute `https` or `http` URL (RFC 3986).
///
/// No user name, no fragment; the port may be left out when it is the scheme's own.
public struct WebTarget: Sendable, Equatable {
    /// How the server is spoken to.
    public enum Scheme: UInt8, Sendable, CaseIterable {
        /// Without TLS: the broker takes it for loopback addresses alone.
        case http = 1
        /// With TLS.
        case https = 2

        var name: String { self == .https ? "https" : "http" }
        var port: UInt16 { self == .https ? 443 : 80 }
    }

    /// Longest path with its query, in bytes.
    public static let maximumPathBytes = 1024

    /// How the server is spoken to.
    public let scheme: Scheme
    /// Name, IPv4 or IPv6 address (without brackets).
    public let host: String
    /// TCP port.
    public let port: UInt16
    /// Begins with `/`; may hold a query.
    public let path: String

    /// Parses a URL such as `https://tsa.example/stamp`.
    /// - Throws: ``BrokerWireError`` `.invalidField`, `.tooLong`; the message says what is allowed.
    public init(_ text: String) throws(BrokerWireError) {
        guard let scheme = Scheme.allCases.first(where: { text.hasPrefix("\($0.name)://") }) else {
            throw BrokerWireError(.invalidField, "takes a URL that begins with https://")
        }
        let rest = text.dropFirst(scheme.name.utf8.count + 3)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        var authority = rest[..<slash]
        let path = slash == rest.endIndex ? "/" : String(rest[slash...])
        var host = String(authority)
        var port = scheme.port
        if authority.first == "[" {
            guard let end = authority.firstIndex(of: "]") else { throw Self.malformed }
            host = String(authority[authority.index(after: authority.startIndex)..<end])
            guard host.contains(":") else { throw Self.malformed }
            authority = authority[authority.index(after: end)...]
        } else {
            let colon = authority.firstIndex(of: ":") ?? authority.endIndex
            host = String(authority[..<colon])
            authority = authority[colon...]
        }
        if !authority.isEmpty {
            let digits = authority.dropFirst()
            guard authority.first == ":", digits.first != "0", digits.utf8.allSatisfy({ (48...57).contains($0) }),
                let number = UInt16(digits)
            else { throw Self.malformed }
            port = number
        }
        try self.init(scheme: scheme, host: host, port: port, path: path)
    }

    /// - Throws: as ``init(_:)``.
    public init(scheme: Scheme, host: String, port: UInt16, path: String) throws(BrokerWireError) {
        guard (1...BrokerJob.Limit.host).contains(host.utf8.count), host.utf8.allSatisfy(BrokerJob.isHostCharacter),
            host.utf8.contains(where: { $0 != 0x2e && $0 != 0x3a && $0 != 0x2d }), port > 0
        else { throw Self.malformed }
        guard path.utf8.first == 0x2f, path.utf8.count <= Self.maximumPathBytes,
            path.utf8.allSatisfy({ (0x21...0x7e).contains($0) && $0 != 0x23 && $0 != 0x5c && $0 != 0x22 })
        else {
            throw BrokerWireError(.invalidField, "takes a URL of printable ASCII, at most 1024 bytes after the host")
        }
        self.scheme = scheme
        self.host = host
        self.port = port
        self.path = path
    }

    private static var malformed: BrokerWireError {
        BrokerWireError(.invalidField, "takes a URL such as https://host.example:8443/path, without a user name")
    }

    /// Scheme, host and port: what may be shown, as a path may hold a secret.
    public var place: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return "\(scheme.name)://\(name)" + (port == scheme.port ? "" : ":\(port)")
    }

    /// The whole URL.
    public var text: String { place + path }

    /// This URL with `suffix` after its path, one slash between.
    /// - Throws: as ``init(_:)``.
    public func appending(_ suffix: String) throws(BrokerWireError) -> WebTarget {
        let base = path.hasSuffix("/") ? String(path.dropLast()) : path
        return try WebTarget(scheme: scheme, host: host, port: port, path: base + "/" + suffix)
    }
}
