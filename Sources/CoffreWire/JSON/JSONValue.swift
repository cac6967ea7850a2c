/// A JSON value that is not secret. Numbers keep their exact digits.
public indirect enum JSONValue: Sendable, Equatable {
    /// One member of an object.
    public struct Member: Sendable, Equatable {
        /// The name.
        public let key: String
        /// The value.
        public let value: JSONValue

        /// A member.
        public init(_ key: String, _ value: JSONValue) {
            self.key = key
            self.value = value
        }
    }

    /// `null`.
    case null
    /// `true` or `false`.
    case bool(Bool)
    /// The digits as written.
    case number(String)
    /// A string.
    case string(String)
    /// An array.
    case array([JSONValue])
    /// An object, in order.
    case object([Member])

    /// An integer.
    public static func integer(_ value: some BinaryInteger) -> JSONValue { .number(String(value)) }

    /// Strings as an array.
    public static func strings(_ values: [String]) -> JSONValue { .array(values.map { .string($0) }) }

    /// An object from pairs, in order.
    public static func object(_ pairs: KeyValuePairs<String, JSONValue>) -> JSONValue {
        .object(pairs.map { Member($0.key, $0.value) })
    }

    /// Parses strictly (RFC 8259).
    /// - Throws: ``JSONError``.
    public init(parsing bytes: some Sequence<UInt8>) throws(JSONError) {
        let bytes = Array(bytes)
        let parsed: Result<JSONValue, JSONError> = bytes.withUnsafeBytes { text in
            do throws(JSONError) {
                return .success(JSONValue(try JSONView(text)))
            } catch {
                return .failure(error)
            }
        }
        self = try parsed.get()
    }

    /// Copies a view. Not for secrets.
    public init(_ view: JSONView) {
        if view.isNull {
            self = .null
        } else if let value = view.bool {
            self = .bool(value)
        } else if let digits = view.numberText {
            self = .number(digits)
        } else if let text = view.string {
            self = .string(text)
        } else if view.isArray {
            self = .array(view.elements.map { JSONValue($0) })
        } else {
            self = .object(view.members.map { Member($0.key, JSONValue($0.value)) })
        }
    }

    /// The member named `key` (the last one), nil for other kinds.
    public subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.last { $0.key.utf8.elementsEqual(key.utf8) }?.value
    }

    /// The string, nil for other kinds.
    public var string: String? { if case .string(let text) = self { text } else { nil } }
    /// The truth value, nil for other kinds.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    /// The integer, nil for other kinds and for fractions.
    public var integer: Int64? { if case .number(let digits) = self { Int64(digits) } else { nil } }
    /// The elements, nil for other kinds.
    public var array: [JSONValue]? { if case .array(let values) = self { values } else { nil } }
    /// The members, nil for other kinds.
    public var members: [Member]? { if case .object(let members) = self { members } else { nil } }

    /// Compact UTF-8 without white space.
    public func encoded() -> [UInt8] {
        var output: [UInt8] = []
        encode(into: &output)
        return output
    }

    /// Appends the compact form.
    public func encode(into output: inout [UInt8]) {
        switch self {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
        case .number(let digits): output.append(contentsOf: digits.utf8)
        case .string(let text): JSONEscape.append(text.utf8, to: &output)
        case .array(let values):
            output.append(0x5b)
            for (index, value) in values.enumerated() {
                if index > 0 { output.append(0x2c) }
                value.encode(into: &output)
            }
            output.append(0x5d)
        case .object(let members):
            output.append(0x7b)
            for (index, member) in members.enumerated() {
                if index > 0 { output.append(0x2c) }
                JSONEscape.append(member.key.utf8, to: &output)
                output.append(0x3a)
                member.value.encode(into: &output)
            }
            output.append(0x7d)
        }
    }

    /// `text` as a JSON string with quotes.
    public static func quoted(_ text: some Sequence<UInt8>) -> [UInt8] {
        var output: [UInt8] = []
        JSONEscape.append(text, to: &output)
        return output
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByDictionaryLiteral {
    /// A string.
    public init(stringLiteral value: String) { self = .string(value) }

    /// An object, in order.
    public init(dictionaryLiteral elements: (String, JSONValue)...) {
        self = .object(elements.map { Member($0.0, $0.1) })
    }
}
