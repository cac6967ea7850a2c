/// A place in a JSON text that lies in somebody else's memory: reads without copying.
///
/// Valid only while that memory is; never let one escape the scope that lends the bytes.
public struct JSONView {
    private let text: UnsafeRawBufferPointer
    private let tape: JSONTape
    private let index: Int

    /// Depth and size limits of a request body.
    public static let defaultDepth = 64
    /// Values and keys in one text.
    public static let defaultNodes = 500_000

    /// Validates `text` and looks at its only value.
    /// - Throws: ``JSONError``.
    public init(
        _ text: UnsafeRawBufferPointer,
        maximumDepth: Int = JSONView.defaultDepth,
        maximumNodes: Int = JSONView.defaultNodes
    ) throws(JSONError) {
        self.text = text
        tape = try JSONTape(text, maximumDepth: maximumDepth, maximumNodes: maximumNodes)
        index = 0
    }

    private init(_ other: JSONView, at index: Int) {
        text = other.text
        tape = other.tape
        self.index = index
    }

    private var node: JSONTape.Node { tape.nodes[index] }

    /// The exact bytes of this value.
    public var raw: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: text[Int(node.start)..<Int(node.end)]) }

    private var inner: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: text[Int(node.start) + 1..<Int(node.end) - 1])
    }

    /// Whether this is `null`.
    public var isNull: Bool { node.kind == .null }
    /// Whether this is an object.
    public var isObject: Bool { node.kind == .object }
    /// Whether this is an array.
    public var isArray: Bool { node.kind == .array }
    /// Whether this is a string.
    public var isString: Bool { node.kind == .string }

    /// The value of `true` or `false`.
    public var bool: Bool? { node.kind == .bool ? raw.first == 0x74 : nil }

    /// The decoded string. Not for secrets: see ``decodeString(into:)``.
    public var string: String? {
        guard node.kind == .string else { return nil }
        if !node.isEscaped { return String(decoding: inner, as: UTF8.self) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(inner.count)
        JSONEscape.decode(inner) { bytes.append($0) }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Length in bytes of the decoded string, nil for other kinds.
    public var stringCount: Int? {
        guard node.kind == .string else { return nil }
        if !node.isEscaped { return inner.count }
        var count = 0
        JSONEscape.decode(inner) { _ in count += 1 }
        return count
    }

    /// Decodes the string into memory of the caller's, exactly ``stringCount`` bytes.
    public func decodeString(into target: UnsafeMutableRawBufferPointer) {
        guard node.kind == .string else { return }
        if !node.isEscaped {
            target.copyMemory(from: inner)
            return
        }
        var position = 0
        JSONEscape.decode(inner) { byte in
            target[position] = byte
            position += 1
        }
    }

    /// The exact text of a number.
    public var numberText: String? { node.kind == .number ? String(decoding: raw, as: UTF8.self) : nil }

    /// An integer without fraction or exponent that fits 64 bits.
    public var integer: Int64? { numberText.flatMap { Int64($0) } }

    /// The members of an object, in order, duplicates included; empty for other kinds.
    public var members: [(key: String, value: JSONView)] {
        guard node.kind == .object else { return [] }
        var result: [(key: String, value: JSONView)] = []
        var position = index + 1
        while position < Int(node.next) {
            result.append((JSONView(self, at: position).string ?? "", JSONView(self, at: position + 1)))
            position = Int(tape.nodes[position + 1].next)
        }
        return result
    }

    /// The elements of an array; empty for other kinds.
    public var elements: [JSONView] {
        guard node.kind == .array else { return [] }
        var result: [JSONView] = []
        var position = index + 1
        while position < Int(node.next) {
            result.append(JSONView(self, at: position))
            position = Int(tape.nodes[position].next)
        }
        return result
    }

    /// The member named `key`; the last one when there are several, as Go's decoder does; nil for `null`.
    public subscript(key: String) -> JSONView? {
        guard node.kind == .object else { return nil }
        var found: JSONView?
        var position = index + 1
        while position < Int(node.next) {
            if JSONView(self, at: position).hasText(key) { found = JSONView(self, at: position + 1) }
            position = Int(tape.nodes[position + 1].next)
        }
        return found.flatMap { $0.isNull ? nil : $0 }
    }

    private func hasText(_ key: String) -> Bool {
        if node.isEscaped { return string.map { $0.utf8.elementsEqual(key.utf8) } ?? false }
        return inner.count == key.utf8.count && inner.elementsEqual(key.utf8)
    }
}
