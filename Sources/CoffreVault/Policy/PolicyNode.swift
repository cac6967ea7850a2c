internal import CoffreWire

/// The tree that both notations of a policy give.
indirect enum PolicyNode: Sendable {
    struct Member: Sendable {
        let key: String
        let value: PolicyNode
        /// 0 when unknown (JSON).
        let line: Int
    }

    case string(String)
    /// Numbers and booleans as written.
    case literal(String)
    case list([PolicyNode])
    case object([Member])

    /// From JSON text.
    init(_ value: JSONValue) {
        switch value {
        case .null: self = .literal("null")
        case .bool(let flag): self = .literal(flag ? "true" : "false")
        case .number(let digits): self = .literal(digits)
        case .string(let text): self = .string(text)
        case .array(let values): self = .list(values.map { PolicyNode($0) })
        case .object(let members):
            self = .object(members.map { Member(key: $0.key, value: PolicyNode($0.value), line: 0) })
        }
    }
}
