import CoffreWire

/// Reads the members of one object, and sees to it that none is missing, repeated or unknown.
struct MemberReader {
    /// Longest text in the catalogue, in bytes.
    private static let maximumTextBytes = 1024

    /// Path of the object.
    let place: String
    private var members: [String: JSONValue] = [:]

    /// - Parameters:
    ///   - names: members that must be there.
    ///   - optional: members that may be there.
    /// - Throws: ``CatalogueError``.
    init(
        _ value: JSONValue,
        at place: String,
        _ names: [String],
        optional: [String] = []
    ) throws(CatalogueError) {
        self.place = place
        guard let list = value.members else { throw CatalogueError(place, "must be an object") }
        for member in list {
            guard names.contains(member.key) || optional.contains(member.key) else {
                throw CatalogueError(place, "a member that is not known")
            }
            guard members.updateValue(member.value, forKey: member.key) == nil else {
                throw CatalogueError(place, "\(member.key) stands twice")
            }
        }
        for name in names where members[name] == nil { throw CatalogueError(place, "\(name) is missing") }
    }

    func failure(_ name: String, _ reason: String) -> CatalogueError { CatalogueError("\(place)/\(name)", reason) }

    /// The value itself; nil when an optional member is not there.
    func value(_ name: String) -> JSONValue? { members[name] }

    /// The value of a member that must be there.
    private func needed(_ name: String) throws(CatalogueError) -> JSONValue {
        guard let value = members[name] else { throw failure(name, "is missing") }
        return value
    }

    /// Text without control characters, not empty.
    func text(_ name: String) throws(CatalogueError) -> String {
        try Self.text(needed(name), at: "\(place)/\(name)")
    }

    /// The same, or nil for `null`.
    func textOrNull(_ name: String) throws(CatalogueError) -> String? {
        let value = try needed(name)
        return value == .null ? nil : try Self.text(value, at: "\(place)/\(name)")
    }

    static func text(_ value: JSONValue, at place: String) throws(CatalogueError) -> String {
        guard let text = value.string else { throw CatalogueError(place, "must be a string") }
        guard !text.isEmpty, text.utf8.count <= maximumTextBytes else {
            throw CatalogueError(place, "is empty or too long")
        }
        guard text.unicodeScalars.allSatisfy({ $0.properties.generalCategory != .control }) else {
            throw CatalogueError(place, "holds a control character")
        }
        return text
    }

    /// `[a-z0-9]` and `separator`, at most 64.
    static func identifier(
        _ value: JSONValue,
        separator: Unicode.Scalar,
        at place: String
    ) throws(CatalogueError) -> String {
        let text = try text(value, at: place)
        let isPlain = text.utf8.allSatisfy { byte in
            (0x61...0x7a).contains(byte) || (0x30...0x39).contains(byte) || byte == UInt8(ascii: separator)
        }
        guard isPlain, text.utf8.count <= 64 else { throw CatalogueError(place, "must be a plain name") }
        return text
    }

    func identifier(_ name: String, separator: Unicode.Scalar) throws(CatalogueError) -> String {
        try Self.identifier(needed(name), separator: separator, at: "\(place)/\(name)")
    }

    /// An object of texts with plain names, in its order.
    func pairs(
        _ name: String,
        separator: Unicode.Scalar
    ) throws(CatalogueError) -> [(name: String, value: String)] {
        guard let members = try needed(name).members else { throw failure(name, "must be an object") }
        var pairs: [(name: String, value: String)] = []
        for member in members {
            let place = "\(place)/\(name)"
            let key = try Self.identifier(.string(member.key), separator: separator, at: place)
            guard !pairs.contains(where: { $0.name == key }) else { throw CatalogueError(place, "\(key) stands twice") }
            pairs.append((key, try Self.text(member.value, at: "\(place)/\(key)")))
        }
        return pairs
    }

    func bilingual(_ name: String) throws(CatalogueError) -> Bilingual {
        try Self.bilingual(needed(name), at: "\(place)/\(name)")
    }

    static func bilingual(_ value: JSONValue, at place: String) throws(CatalogueError) -> Bilingual {
        let reader = try MemberReader(value, at: place, ["en", "fr"])
        return Bilingual(try reader.text("en"), try reader.text("fr"))
    }

    func bool(_ name: String) throws(CatalogueError) -> Bool {
        guard let value = try needed(name).bool else { throw failure(name, "must be true or false") }
        return value
    }

    func boolOrNull(_ name: String) throws(CatalogueError) -> Bool? {
        try needed(name) == .null ? nil : try bool(name)
    }

    /// Seconds, more than 0; nil for `null`.
    func secondsOrNull(_ name: String) throws(CatalogueError) -> Int64? {
        let value = try needed(name)
        if value == .null { return nil }
        guard let seconds = value.integer, seconds > 0 else { throw failure(name, "must be a number of seconds") }
        return seconds
    }

    func integer(_ name: String) throws(CatalogueError) -> Int64 {
        guard let value = try needed(name).integer else { throw failure(name, "must be an integer") }
        return value
    }

    /// One of the cases of a closed list.
    func word<Word: RawRepresentable>(
        _ name: String,
        _ type: Word.Type
    ) throws(CatalogueError) -> Word where Word.RawValue == String {
        guard let word = try Word(rawValue: text(name)) else { throw failure(name, "is none of the known words") }
        return word
    }

    /// The elements of an array, each with its path.
    func elements(_ name: String) throws(CatalogueError) -> [(value: JSONValue, place: String)] {
        guard let values = try needed(name).array else { throw failure(name, "must be an array") }
        return values.enumerated().map { ($1, "\(place)/\(name)/\($0)") }
    }

    /// Texts, each once.
    func texts(_ name: String) throws(CatalogueError) -> [String] {
        var texts: [String] = []
        for (value, place) in try elements(name) {
            let text = try Self.text(value, at: place)
            guard !texts.contains(text) else { throw CatalogueError(place, "stands twice") }
            texts.append(text)
        }
        return texts
    }

    /// The same, and at least one.
    func someTexts(_ name: String) throws(CatalogueError) -> [String] {
        let texts = try texts(name)
        guard !texts.isEmpty else { throw failure(name, "is empty") }
        return texts
    }
}
