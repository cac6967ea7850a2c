/// What a rule lets a caller do on a path.
package struct Capability: OptionSet, Sendable, Hashable {
    package let rawValue: UInt16

    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let create = Capability(rawValue: 1 << 0)
    package static let read = Capability(rawValue: 1 << 1)
    package static let update = Capability(rawValue: 1 << 2)
    package static let patch = Capability(rawValue: 1 << 3)
    package static let delete = Capability(rawValue: 1 << 4)
    package static let list = Capability(rawValue: 1 << 5)
    package static let scan = Capability(rawValue: 1 << 6)
    package static let sudo = Capability(rawValue: 1 << 7)
    package static let deny = Capability(rawValue: 1 << 8)

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
