/// A plan that a login was made by, to be held against what the login can do now.
public struct GrantCheck: Sendable, Equatable {
    /// What it may do.
    public let plan: GrantPlan
    /// Sessions at the same time, 1–1000.
    public let connectionLimit: UInt16
    /// Whether the group role is brought to the plan; else nothing is changed.
    public let isRepairing: Bool

    private enum Tag {
        static let plan: UInt8 = 1
        static let connectionLimit: UInt8 = 2
        static let isRepairing: UInt8 = 3
    }

    /// - Parameter connectionLimit: 10 unless said otherwise, as in ``GrantProvision``.
    /// - Throws: ``BrokerWireError`` `.invalidField` for a limit out of range.
    public init(plan: GrantPlan, connectionLimit: UInt16 = 10, isRepairing: Bool) throws(BrokerWireError) {
        guard GrantProvision.Limit.connections.contains(connectionLimit) else {
            throw BrokerWireError(.invalidField, "a login has 1 to 1000 sessions at the same time")
        }
        self.plan = plan
        self.connectionLimit = connectionLimit
        self.isRepairing = isRepairing
    }

    func encode() -> [UInt8] {
        let fields: [(UInt8, [UInt8])] = [
            (Tag.plan, plan.encode()), (Tag.connectionLimit, connectionLimit.bigEndianBytes),
            (Tag.isRepairing, [isRepairing ? 1 : 0]),
        ]
        return fields.flatMap { [$0.0] + UInt32($0.1.count).bigEndianBytes + $0.1 }
    }

    init(decoding bytes: UnsafeRawBufferPointer) throws(BrokerWireError) {
        var reader = BrokerFieldReader(bytes)
        let plan = try GrantPlan(decoding: try reader.required(Tag.plan, atMost: GrantPlan.Limit.encoded))
        let limit = UInt16(try reader.number(Tag.connectionLimit, bytes: 2))
        let flag = try reader.number(Tag.isRepairing, bytes: 1)
        try reader.finish()
        guard flag <= 1 else { throw BrokerWireError(.invalidField, "a flag is 0 or 1") }
        try self.init(plan: plan, connectionLimit: limit, isRepairing: flag == 1)
    }
}
