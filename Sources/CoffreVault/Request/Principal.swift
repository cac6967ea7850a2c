/// The attested caller of a connection: what the kernel says of the process at its other end.
package final class Principal: Sendable, Hashable {
    /// Process id at connect time; 0 when it lies in another pid namespace.
    package let pid: Int32
    package let uid: UInt32
    package let gid: UInt32
    /// Supplementary groups (`SO_PEERGROUPS`), sorted.
    package let groups: [UInt32]
    /// The systemd *system* unit of the process, such as `payroll.service`; nil for user sessions, delegated
    /// sub-groups, or when it could not be established.
    package let unit: String?
    /// Whether `unit` was read under a pidfd (`SO_PEERPIDFD`), so that the pid cannot have been reused. Without it a unit
    /// rule counts only together with a bound uid.
    package let isUnitPinned: Bool

    package init(pid: Int32, uid: UInt32, gid: UInt32, groups: [UInt32], unit: String?, isUnitPinned: Bool) {
        self.pid = pid
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.unit = unit
        self.isUnitPinned = isUnitPinned
    }

    package static func == (left: Principal, right: Principal) -> Bool {
        left.uid == right.uid && left.gid == right.gid && left.pid == right.pid
            && left.isUnitPinned == right.isUnitPinned && left.groups == right.groups
            && left.unit.map { Array($0.utf8) } == right.unit.map { Array($0.utf8) }
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(uid)
        hasher.combine(pid)
    }
}
