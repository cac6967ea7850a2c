/// The tree that both notations of a policy give.
package indirect enum PolicyNode: Sendable {
    package struct Member: Sendable {
        package let key: String
        package let value: PolicyNode
        /// From 1; 0 when unknown (JSON).
        package let line: Int
        /// The line on which the value ends; 0 when unknown.
        package let endLine: Int
    }

    case string(String)
    /// Numbers, booleans and JSON's `null`, as written.
    case literal(String)
    case list([PolicyNode])
    case object([Member])

    /// From a text in HCL, or in JSON when it begins with `{`.
    /// - Throws: ``PolicyError``.
    package init(parsing text: String) throws(PolicyError) {
        if text.utf8.first(where: { $0 != 0x20 && $0 != 0x09 && $0 != 0x0a && $0 != 0x0d }) == 0x7b {
            do throws(JSONError) {
                self = PolicyNode(try JSONValue(parsing: text.utf8))
            } catch {
                throw PolicyError(error.message)
            }
        } else {
            self = try PolicyParser.parse(text)
        }
    }

    private init(_ value: JSONValue) {
        switch value {
        case .null: self = .literal("null")
        case .bool(let flag): self = .literal(flag ? "true" : "false")
        case .number(let digits): self = .literal(digits)
        case .string(let text): self = .string(text)
        case .array(let values): self = .list(values.map { PolicyNode($0) })
        case .object(let members):
            self = .object(members.map { Member(key: $0.key, value: PolicyNode($0.value), line: 0, endLine: 0) })
        }
    }

    /// The text; a number or a boolean as written, as Go's decoder gives one where a text is wanted.
    var weakText: String? {
        switch self {
        case .string(let text): text
        case .literal(let text) where text != "null": text
        default: nil
        }
    }
}
