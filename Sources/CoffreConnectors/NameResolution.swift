package import CoffreWire
internal import Glibc

/// Turns a host into addresses that the policy permits, once: what is connected to is what was judged.
package enum NameResolution {
    /// Most addresses of one name that are tried.
    package static let maximumAddresses = 4

    /// Resolves `host` (a name or an address) and keeps what `policy` permits for `port`, in the resolver's order.
    ///
    /// Blocks for as long as the resolver takes (resolv.conf(5), `timeout` and `attempts`).
    /// - Throws: ``BrokerFailure`` `.dns` when there is no address, `.egressDenied` when none is permitted.
    package static func addresses(
        of host: String,
        port: UInt16,
        policy: EgressPolicy
    ) throws(BrokerFailure) -> [NetworkAddress] {
        guard !host.contains("/"), !host.hasPrefix("@"), !host.utf8.contains(0) else {
            throw BrokerFailure(.egressDenied)
        }
        let found = lookUp(host)
        guard !found.isEmpty else { throw BrokerFailure(.dns) }
        var permitted: [NetworkAddress] = []
        for address in found where policy.permits(address, port: port) && !permitted.contains(address) {
            permitted.append(address)
        }
        guard !permitted.isEmpty else { throw BrokerFailure(.egressDenied) }
        return Array(permitted.prefix(maximumAddresses))
    }

    private static func lookUp(_ host: String) -> [NetworkAddress] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var result: [NetworkAddress] = []
        var entry = list
        while let info = entry?.pointee, result.count < 64 {
            if let address = address(info) { result.append(address) }
            entry = info.ai_next
        }
        return result
    }

    private static func address(_ info: addrinfo) -> NetworkAddress? {
        guard let raw = UnsafeRawPointer(info.ai_addr) else { return nil }
        switch info.ai_family {
        case AF_INET:
            let address = raw.loadUnaligned(as: sockaddr_in.self).sin_addr
            return NetworkAddress(bytes: withUnsafeBytes(of: address) { Array($0) })
        case AF_INET6:
            let address = raw.loadUnaligned(as: sockaddr_in6.self).sin6_addr
            return NetworkAddress(bytes: withUnsafeBytes(of: address) { Array($0) })
        default: return nil
        }
    }
}
