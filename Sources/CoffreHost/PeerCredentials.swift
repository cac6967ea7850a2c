internal import CCoffreShims
internal import Glibc

/// What the kernel says of the process at the other end of a connected Unix socket, taken once.
///
/// Holds a pidfd where the kernel gives one: ``isAlive`` then speaks of that very process, however often its number is
/// used again.
package final class PeerCredentials: Sendable {
    /// Which kernel interface names the process.
    package enum ProcessSource: Sendable {
        /// A pidfd where there is one.
        case automatic
        /// As on kernels before 6.5; forced in tests.
        case pidOnly
    }

    /// 0 when the process lies in another pid namespace: there is no process identity then.
    package let pid: Int32
    package let uid: UInt32
    package let gid: UInt32
    /// Sorted; at most 65,536 (NGROUPS_MAX).
    package let groups: [UInt32]
    /// The systemd system service, see ``SystemUnit``.
    package let unit: String?
    /// Whether the unit was read while a pidfd vouched for the process.
    package let isUnitPinned: Bool
    private let pidfd: Int32

    /// Asks the kernel about the peer of `descriptor`, which stays the caller's.
    ///
    /// The order matters: first the pidfd, then the cgroup by number, then whether the pidfd still lives. If it does, the
    /// number could not have been used again in between.
    /// - Throws: ``HostError`` `.system` when `descriptor` is not a connected Unix socket.
    package init(
        ofConnection descriptor: Int32,
        source: ProcessSource = .automatic,
        procDirectory: String = "/proc"
    ) throws(HostError) {
        var pid: Int32 = 0
        var uid: UInt32 = 0
        var gid: UInt32 = 0
        let failure = coffre_peer_credentials(descriptor, &pid, &uid, &gid)
        guard failure == 0 else { throw .system("cannot read who is connected", failure) }
        self.pid = max(pid, 0)
        self.uid = uid
        self.gid = gid
        groups = try Self.groups(descriptor)
        guard pid > 0 else {
            pidfd = -1
            unit = nil
            isUnitPinned = false
            return
        }
        let handle = source == .automatic ? coffre_peer_pidfd(descriptor) : -ENOPROTOOPT
        pidfd = handle >= 0 ? handle : -1
        switch handle {
        case 0...:
            let found = Self.unit(pid, procDirectory)
            let isAlive = coffre_pidfd_is_alive(handle) == 1
            unit = isAlive ? found : nil
            isUnitPinned = isAlive && found != nil
        case -ENOPROTOOPT:
            unit = Self.unit(pid, procDirectory)
            isUnitPinned = false
        default:  // The process has gone already, or no descriptor is left: nothing can be said about its unit.
            unit = nil
            isUnitPinned = false
        }
    }

    /// False once the process has exited. Without a pidfd nobody knows, and the answer is true. One poll(2), no blocking.
    package var isAlive: Bool { pidfd < 0 || coffre_pidfd_is_alive(pidfd) == 1 }

    /// Whether a pidfd is held.
    package var hasProcessDescriptor: Bool { pidfd >= 0 }

    deinit { if pidfd >= 0 { close(pidfd) } }

    private static func groups(_ descriptor: Int32) throws(HostError) -> [UInt32] {
        var list = [UInt32](repeating: 0, count: 64)
        while true {
            var bytes = UInt32(list.count * 4)
            let failure = list.withUnsafeMutableBufferPointer {
                coffre_peer_groups(descriptor, $0.baseAddress, &bytes)
            }
            switch failure {
            case 0: return list.prefix(Int(bytes) / 4).sorted()
            case ERANGE where Int(bytes) / 4 > list.count && bytes <= 65_536 * 4:
                list = [UInt32](repeating: 0, count: Int(bytes) / 4)
            default: throw .system("cannot read the groups of who is connected", failure)
            }
        }
    }

    private static func unit(_ pid: Int32, _ procDirectory: String) -> String? {
        let file = open("\(procDirectory)/\(pid)/cgroup", O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var text: [UInt8] = []
        while text.count <= SystemUnit.maximumBytes {
            var count = 0
            let more = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, written in
                repeat { count = read(file, buffer.baseAddress, buffer.count) } while count < 0 && errno == EINTR
                written = max(count, 0)
            }
            guard count >= 0 else { return nil }
            guard count > 0 else { break }
            text += more
        }
        return SystemUnit.parse(text)
    }
}
