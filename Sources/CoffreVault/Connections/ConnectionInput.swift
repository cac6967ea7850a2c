internal import CoffreCrypto
internal import CoffreWire

/// What a client sends to create or change a connection; absent members keep their value.
struct ConnectionInput: Sendable {
    var type: String?
    var label: String?
    var owner: String?
    var visibility: Connection.Visibility?
    /// Name or id of the team that `visibility = team` means.
    var team: String?
    var labels: [String: String]?
    /// Without the secrets; an empty text removes a field.
    var fields: [String: String] = [:]
    var secrets: [String: SharedSecret] = [:]
    var rotationDays: Int64?
    var needsApproval: Bool?
    var rowLimit: Int64?
    var accepted: [String]?
    /// Whether the connection is tried before it is stored.
    var verifies = true

    static let known: Set<String> = [
        "type", "label", "owner", "visibility", "team", "labels", "fields", "rotation_days", "approval", "row_limit",
        "accept", "verify",
    ]

    /// - Parameter isSecret: whether a field is one, by its name.
    /// - Throws: ``VaultError`` `.badRequest`, naming the member.
    init(_ body: JSONView?, isSecret: (_ type: String?, _ field: String) -> Bool) throws(VaultError) {
        type = try Self.text(body, "type", 64)
        label = try Self.text(body, "label", 256)
        owner = try Self.text(body, "owner", 128)
        team = try Self.text(body, "team", 128)
        if let text = try Self.text(body, "visibility", 16) {
            guard let value = Connection.Visibility(rawValue: text) else {
                throw .badRequest("visibility is me, team or organisation")
            }
            visibility = value
        }
        if let value = body?["labels"] { labels = try Self.texts(value, "labels", most: 64) }
        if let value = body?["fields"] {
            guard value.isObject, value.members.count <= 64 else { throw .badRequest("fields is an object") }
            for (name, field) in value.members {
                if isSecret(type, name) {
                    guard let count = field.stringCount, count <= Self.longestField else {
                        throw .badRequest("the field \(name) is a text of at most \(Self.longestField) bytes")
                    }
                    secrets[name] = SharedSecret(SecretBytes(count: count) { field.decodeString(into: $0) })
                } else {
                    guard let text = Self.plain(field), text.utf8.count <= Self.longestField else {
                        throw .badRequest("the field \(name) is a text of at most \(Self.longestField) bytes")
                    }
                    fields[name] = text
                }
            }
        }
        rotationDays = try Self.number(body, "rotation_days", 1...365)
        rowLimit = try Self.number(body, "row_limit", 0...1_000_000_000)
        if let value = body?["approval"] {
            guard let flag = value.weakBool else { throw .badRequest("approval is true or false") }
            needsApproval = flag
        }
        if let value = body?["accept"] {
            guard let list = value.stringList, list.count <= 64, list.allSatisfy({ (1...256).contains($0.utf8.count) })
            else { throw .badRequest("accept is a list of up to 64 differences, as a refusal names them") }
            accepted = list
        }
        if let value = body?["verify"] {
            guard let flag = value.weakBool else { throw .badRequest("verify is true or false") }
            verifies = flag
        }
    }

    private static let longestField = 65_536

    /// Numbers and booleans are taken as they are written.
    private static func plain(_ view: JSONView) -> String? {
        view.string ?? view.numberText ?? view.bool.map { $0 ? "true" : "false" }
    }

    private static func text(_ body: JSONView?, _ name: String, _ most: Int) throws(VaultError) -> String? {
        guard let value = body?[name] else { return nil }
        guard let text = value.string, text.utf8.count <= most, !text.utf8.contains(0) else {
            throw .badRequest("\(name) is a text of at most \(most) bytes")
        }
        return text
    }

    private static func number(
        _ body: JSONView?,
        _ name: String,
        _ range: ClosedRange<Int64>
    ) throws(VaultError) -> Int64? {
        guard let value = body?[name] else { return nil }
        guard let number = value.weakInteger, range.contains(number) else {
            throw .badRequest("\(name) is a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    private static func texts(_ value: JSONView, _ name: String, most: Int) throws(VaultError) -> [String: String] {
        guard value.isObject, value.members.count <= most else {
            throw .badRequest("\(name) is an object of at most \(most) texts")
        }
        var result: [String: String] = [:]
        for (key, view) in value.members {
            guard let text = view.string, (1...64).contains(key.utf8.count), text.utf8.count <= 256 else {
                throw .badRequest("\(name) takes names of 1 to 64 bytes and texts of at most 256 bytes")
            }
            result[key] = text
        }
        return result
    }
}
