internal import CoffreCrypto
internal import CoffreWire

/// The content of a provider's answer, whichever way it is written. Valid while the bytes are.
enum OAuthContent {
    case empty
    case json(JSONView)
    case form([(name: [UInt8], value: SharedSecret)])
    /// HTML: meant for people, whatever was asked.
    case page
    case other

    /// One value of it.
    enum Value {
        case json(JSONView)
        case text(SharedSecret)
    }

    /// A member that decides is there twice: nobody can say which one counts.
    struct Ambiguous: Error {}

    /// Deeper or longer JSON is not read.
    private static let maximumDepth = 32
    private static let maximumNodes = 100_000
    private static let maximumFields = 64

    init(_ bytes: UnsafeRawBufferPointer, type: String) {
        let first = bytes.first { $0 > 0x20 }
        switch first {
        case nil: self = .empty
        case 0x3c: self = .page
        case 0x7b, 0x5b:
            let view = try? JSONView(bytes, maximumDepth: Self.maximumDepth, maximumNodes: Self.maximumNodes)
            self = view.map { .json($0) } ?? .other
        default:
            if type == "text/html" {
                self = .page
            } else {
                // Some servers call a form text/plain, so its look decides.
                self = Self.form(bytes).map { .form($0) } ?? .other
            }
        }
    }

    private static func form(_ bytes: UnsafeRawBufferPointer) -> [(name: [UInt8], value: SharedSecret)]? {
        let end = bytes.last == 0x0a ? bytes.count - 1 : bytes.count
        var fields: [(name: [UInt8], value: SharedSecret)] = []
        for part in UnsafeRawBufferPointer(rebasing: bytes[..<end]).split(separator: 0x26) {
            guard fields.count < maximumFields, let equals = part.firstIndex(of: 0x3d),
                let name = decode(part[..<equals]), let value = decode(part[part.index(after: equals)...]),
                let text = name.withBytes({ isName($0) ? Array($0) : nil })
            else { return nil }
            fields.append((text, value))
        }
        return fields
    }

    private static func isName(_ bytes: UnsafeRawBufferPointer) -> Bool {
        (1...BrokerOAuth.Limit.name).contains(bytes.count) && bytes.allSatisfy { (0x21...0x7e).contains($0) }
    }

    /// `application/x-www-form-urlencoded` (WHATWG URL §5.1); nil when a percent sign is not followed by two digits.
    private static func decode(_ bytes: Slice<UnsafeRawBufferPointer>) -> SharedSecret? {
        var position = bytes.startIndex
        var count = 0
        while position < bytes.endIndex {
            position += bytes[position] == 0x25 ? 3 : 1
            count += 1
        }
        guard position == bytes.endIndex else { return nil }
        var isValid = true
        let decoded = SecretBytes(count: count) { target in
            var position = bytes.startIndex
            for index in 0..<count {
                switch bytes[position] {
                case 0x25:
                    let high = Self.digit(bytes[position + 1])
                    let low = Self.digit(bytes[position + 2])
                    isValid = isValid && high != nil && low != nil
                    target[index] = (high ?? 0) << 4 | (low ?? 0)
                    position += 3
                case 0x2b:
                    target[index] = 0x20
                    position += 1
                default:
                    target[index] = bytes[position]
                    position += 1
                }
            }
        }
        return isValid ? SharedSecret(decoded) : nil
    }

    private static func digit(_ character: UInt8) -> UInt8? {
        switch character {
        case 0x30...0x39: character - 0x30
        case 0x41...0x46: character - 0x41 + 10
        case 0x61...0x66: character - 0x61 + 10
        default: nil
        }
    }

    /// The member of this name; nil when there is none, or it is `null`.
    func member(_ name: String) throws(Ambiguous) -> Value? {
        switch self {
        case .json(let view): try Self.member(name, of: view).map { .json($0) }
        case .form(let fields): try Self.one(fields.filter { $0.name.elementsEqual(name.utf8) }).map { .text($0.value) }
        case .empty, .page, .other: nil
        }
    }

    /// The object at `path`; nil when there is none.
    func object(at path: String) throws(Ambiguous) -> OAuthContent? {
        guard case .json(let view) = self else { return nil }
        var place = view
        for step in path.split(separator: ".") {
            guard let next = try Self.step(String(step), from: place) else { return nil }
            place = next
        }
        return place.isObject ? .json(place) : nil
    }

    /// The values at `path`, with the number of the element of a list that each is of.
    func values(at path: String) throws(Ambiguous) -> [(index: UInt16, value: Value)] {
        guard case .json(let view) = self else { return try member(path).map { [(UInt16(0), $0)] } ?? [] }
        var places: [(index: UInt16, view: JSONView)] = [(0, view)]
        for step in path.split(separator: ".") {
            var next: [(index: UInt16, view: JSONView)] = []
            for (index, place) in places {
                if step == "*" {
                    for (number, element) in place.elements.prefix(OAuthReply.Limit.learnt).enumerated() {
                        next.append((UInt16(number), element))
                    }
                } else if let found = try Self.step(String(step), from: place) {
                    next.append((index, found))
                }
            }
            places = next
        }
        return places.map { ($0.index, .json($0.view)) }
    }

    private static func step(_ step: String, from view: JSONView) throws(Ambiguous) -> JSONView? {
        guard view.isArray else { return try member(step, of: view) }
        guard let index = Int(step), index >= 0, step.utf8.first != 0x2b else { return nil }
        let elements = view.elements
        return index < elements.count ? elements[index] : nil
    }

    private static func member(_ name: String, of view: JSONView) throws(Ambiguous) -> JSONView? {
        let found = try one(view.members.filter { $0.key.utf8.elementsEqual(name.utf8) })?.value
        return found.flatMap { $0.isNull ? nil : $0 }
    }

    private static func one<T>(_ found: [T]) throws(Ambiguous) -> T? {
        guard found.count <= 1 else { throw Ambiguous() }
        return found.first
    }
}

extension OAuthContent.Value {
    /// A text of 1 to `limit` bytes, in secret memory; nil for anything else.
    func secret(atMost limit: Int) -> SharedSecret? {
        switch self {
        case .text(let text): return (1...limit).contains(text.count) ? text : nil
        case .json(let view):
            guard let count = view.stringCount, (1...limit).contains(count) else { return nil }
            return SharedSecret(SecretBytes(count: count) { view.decodeString(into: $0) })
        }
    }

    /// A text, the digits of a number, or `true` or `false`; nil for anything else, or above `limit` bytes.
    func text(atMost limit: Int) -> String? {
        switch self {
        case .text(let text):
            guard text.count <= limit else { return nil }
            return text.withBytes { String(validating: $0, as: UTF8.self) }
        case .json(let view):
            if let count = view.stringCount { return count <= limit ? view.string : nil }
            if let bool = view.bool { return bool ? "true" : "false" }
            return view.raw.count <= limit ? view.numberText : nil
        }
    }

    /// Whole seconds, written as a number or as a text, with or without a fraction; nil for anything else.
    var seconds: UInt64? {
        guard let text = text(atMost: 32) else { return nil }
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (48...57).contains($0) } }) else { return nil }
        return min(UInt64(parts[0]) ?? .max, OAuthReply.Limit.seconds)
    }

    /// Whether there is anything in it: not in an empty text, list or object, nor in `false` and 0.
    var saysSomething: Bool {
        switch self {
        case .text(let text): text.count > 0
        case .json(let view):
            if let count = view.stringCount {
                count > 0
            } else if view.isObject {
                !view.members.isEmpty
            } else if view.isArray {
                !view.elements.isEmpty
            } else {
                view.bool ?? (view.numberText != "0")
            }
        }
    }
}
