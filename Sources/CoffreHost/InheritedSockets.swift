internal import CCoffreShims
internal import CSystemd
internal import Glibc

/// Listening sockets that systemd passed to this process (sd_listen_fds(3)).
package struct InheritedSocket: Sendable, Equatable {
    /// `FileDescriptorName=` of the socket unit; the unit's own name by default.
    package let name: String
    /// For ``ListeningSocket/init(adopting:)``.
    package let descriptor: Int32

    /// Takes them all, in order, and clears `$LISTEN_FDS` so that no child sees them. Empty when not socket-activated.
    /// - Throws: ``HostError`` `.system` when the variables make no sense, `.wrongKind` when one is not a listening
    ///   AF_UNIX SOCK_STREAM socket.
    package static func takeAll() throws(HostError) -> [InheritedSocket] {
        var names: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        let count = sd_listen_fds_with_names(1, &names)
        defer {
            for index in 0..<Int(max(count, 0)) { free(names?[index]) }
            free(names)
        }
        guard count >= 0 else { throw .system("cannot read the inherited sockets", -count) }
        var sockets: [InheritedSocket] = []
        for index in 0..<count {
            let descriptor = SD_LISTEN_FDS_START + index
            guard sd_is_socket_unix(descriptor, coffre_sock_stream, 1, nil, 0) > 0 else {
                throw HostError(
                    .wrongKind,
                    "inherited descriptor \(descriptor) is not a listening Unix stream socket: check ListenStream="
                )
            }
            let name = names?[Int(index)].map { String(cString: $0) } ?? ""
            sockets.append(InheritedSocket(name: name, descriptor: descriptor))
        }
        return sockets
    }
}
