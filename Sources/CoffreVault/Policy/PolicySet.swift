internal import CoffreCrypto
internal import CoffreWire

/// The policies behind a caller's rights, each with its version: `why.set` of a record is its digest.
struct PolicySet: Sendable {
    struct Member: Sendable, Equatable {
        let name: String
        /// 0 for `root`, and for one that did not exist.
        let version: UInt64
    }

    /// Sorted by the bytes of their names.
    let members: [Member]
    /// Whom templates speak of; nil when no rule has one.
    let subject: PolicySubject?
    /// What is kept and hashed.
    let text: [UInt8]
    /// The first 16 bytes of the text's SHA-256, in base64.
    let digest: String

    /// - Parameters:
    ///   - names: of the policies, each once.
    ///   - policies: those that exist.
    ///   - subject: of the caller.
    init(_ names: [String], _ policies: [String: Policy], subject: PolicySubject?) {
        let members = names.map { Member(name: $0, version: policies[$0]?.version ?? 0) }
            .sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
        let hasTemplates = names.contains { policies[$0]?.rules.contains { $0.template != nil } ?? false }
        let subject = hasTemplates ? subject : nil
        var pairs: [JSONValue.Member] = [
            .init("policies", .array(members.map { .array([.string($0.name), .integer($0.version)]) }))
        ]
        if let subject { pairs.append(.init("subject", subject.json)) }
        self.init(members, subject, text: JSONValue.object(pairs).encoded())
    }

    /// - Throws: ``JSONError``; ``PolicyError`` when the text is not a set.
    init(text: [UInt8]) throws {
        let value = try JSONValue(parsing: text)
        let members = try (value["policies"]?.array ?? []).map { pair in
            guard let pair = pair.array, pair.count == 2, let name = pair[0].string, let version = pair[1].integer
            else {
                throw PolicyError("a stored set of policies cannot be read")
            }
            return Member(name: name, version: UInt64(clamping: version))
        }
        self.init(members, value["subject"].map { PolicySubject(json: $0) }, text: text)
    }

    private init(_ members: [Member], _ subject: PolicySubject?, text: [UInt8]) {
        self.members = members
        self.subject = subject
        self.text = text
        digest = Base64.encode(Array(SHA256.hash(text).bytes.prefix(16)))
    }
}

extension PolicySubject {
    private static func json(_ values: [String: String]) -> JSONValue {
        .object(values.sorted { $0.key < $1.key }.map { .init($0.key, .string($0.value)) })
    }

    private static func strings(_ value: JSONValue?) -> [String: String] {
        Dictionary((value?.members ?? []).map { ($0.key, $0.value.string ?? "") }) { first, _ in first }
    }

    /// Sorted, so that the same subject gives the same bytes.
    fileprivate var json: JSONValue {
        .object([
            "id": .string(id), "name": .string(name), "metadata": Self.json(metadata),
            "aliases": .object(
                aliases.sorted { $0.key < $1.key }.map { accessor, alias in
                    .init(
                        accessor,
                        .object([
                            "id": .string(alias.id), "name": .string(alias.name), "metadata": Self.json(alias.metadata),
                            "custom": Self.json(alias.customMetadata),
                        ])
                    )
                }
            ),
            "groups": .array(
                groups.sorted { $0.id < $1.id }.map { group in
                    .object([
                        "id": .string(group.id), "name": .string(group.name), "metadata": Self.json(group.metadata),
                    ])
                }
            ),
        ])
    }

    fileprivate init(json value: JSONValue) {
        let aliases = (value["aliases"]?.members ?? []).map { member in
            (
                member.key,
                Alias(
                    id: member.value["id"]?.string ?? "",
                    name: member.value["name"]?.string ?? "",
                    metadata: Self.strings(member.value["metadata"]),
                    customMetadata: Self.strings(member.value["custom"])
                )
            )
        }
        self.init(
            id: value["id"]?.string ?? "",
            name: value["name"]?.string ?? "",
            metadata: Self.strings(value["metadata"]),
            aliases: Dictionary(aliases) { first, _ in first },
            groups: (value["groups"]?.array ?? []).map { group in
                Group(
                    id: group["id"]?.string ?? "",
                    name: group["name"]?.string ?? "",
                    metadata: Self.strings(group["metadata"])
                )
            }
        )
    }
}
