/// What a rule lets a caller do on a path.
package struct Capability: OptionSet, Sendable, Hashable {
    package let rawValue: UInt16

    @inlinable package init(rawValue: UInt16) { self.rawValue = rawValue }

    @inlinable package static var create: Capability { Capability(rawValue: 1 << 0) }
    @inlinable package static var read: Capability { Capability(rawValue: 1 << 1) }
    @inlinable package static var update: Capability { Capability(rawValue: 1 << 2) }
    @inlinable package static var patch: Capability { Capability(rawValue: 1 << 3) }
    @inlinable package static var delete: Capability { Capability(rawValue: 1 << 4) }
    @inlinable package static var list: Capability { Capability(rawValue: 1 << 5) }
    @inlinable package static var scan: Capability { Capability(rawValue: 1 << 6) }
    @inlinable package static var sudo: Capability { Capability(rawValue: 1 << 7) }
    @inlinable package static var deny: Capability { Capability(rawValue: 1 << 8) }

    private static let names: [(String, Capability)] = [
        ("create", .create), ("delete", .delete), ("deny", .deny), ("list", .list), ("patch", .patch), ("read", .read),
        ("scan", .scan), ("sudo", .sudo), ("update", .update),
    ]

    /// By its name in a policy; nil when there is none.
    package init?(name: String) {
        guard let found = Self.names.first(where: { $0.0 == name })?.1 else { return nil }
        self = found
    }

    /// Sorted names; `deny` alone when it is there or nothing is.
    package var sortedNames: [String] {
        if isEmpty || contains(.deny) { return ["deny"] }
        return Self.names.filter { contains($0.1) }.map(\.0)
    }
}
