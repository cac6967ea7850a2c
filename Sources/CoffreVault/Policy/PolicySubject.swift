internal import CoffreWire

/// Whom the templates in a policy's paths speak of: the entity behind a token, and the groups that it belongs to.
package struct PolicySubject: Sendable, Equatable {
    package struct Alias: Sendable, Equatable {
        package let id: String
        package let name: String
        package let metadata: [String: String]
        package let customMetadata: [String: String]

        package init(
            id: String,
            name: String,
            metadata: [String: String] = [:],
            customMetadata: [String: String] = [:]
        ) {
            self.id = id
            self.name = name
            self.metadata = metadata
            self.customMetadata = customMetadata
        }
    }

    package struct Group: Sendable, Equatable {
        package let id: String
        package let name: String
        package let metadata: [String: String]

        package init(id: String, name: String, metadata: [String: String] = [:]) {
            self.id = id
            self.name = name
            self.metadata = metadata
        }
    }

    package let id: String
    package let name: String
    package let metadata: [String: String]
    /// By the accessor of the mount that vouches for them.
    package let aliases: [String: Alias]
    /// Direct and inherited.
    package let groups: [Group]

    package init(
        id: String,
        name: String,
        metadata: [String: String] = [:],
        aliases: [String: Alias] = [:],
        groups: [Group] = []
    ) {
        self.id = id
        self.name = name
        self.metadata = metadata
        self.aliases = aliases
        self.groups = groups
    }

    /// The value of a selector; nil when there is none, or an empty one: `{{…}}*` would then be `*`.
    fileprivate func value(_ selector: PolicyTemplate.Selector) -> String? {
        let found: String?
        switch selector {
        case .entity(let attribute): found = Self.value(attribute, id, name, metadata, [:])
        case .alias(let accessor, let attribute):
            guard let alias = aliases[accessor] else { return nil }
            found = Self.value(attribute, alias.id, alias.name, alias.metadata, alias.customMetadata)
        case .groupID(let id, let attribute): found = value(attribute, groups.first { $0.id.hasSameBytes(as: id) })
        case .groupName(let name, let attribute):
            found = value(attribute, groups.first { $0.name.hasSameBytes(as: name) })
        }
        return found.flatMap { $0.isEmpty ? nil : $0 }
    }

    private func value(_ attribute: PolicyTemplate.Attribute, _ group: Group?) -> String? {
        group.flatMap { Self.value(attribute, $0.id, $0.name, $0.metadata, [:]) }
    }

    private static func value(
        _ attribute: PolicyTemplate.Attribute,
        _ id: String,
        _ name: String,
        _ metadata: [String: String],
        _ customMetadata: [String: String]
    ) -> String? {
        switch attribute {
        case .id: id
        case .name: name
        case .metadata(let key): metadata[key]
        case .customMetadata(let key): customMetadata[key]
        }
    }
}

extension String {
    fileprivate func hasSameBytes(as other: String) -> Bool { utf8.elementsEqual(other.utf8) }
}

/// What becomes of a template for one subject.
enum SubstitutedPath {
    case pattern(PolicyPattern)
    /// A value is missing: the rule counts as absent, as in the real server.
    case absent
    /// A value holds `*`, `+` or `/`.
    ///
    /// Names and metadata are written by others than policies are: such a value could make a rule reach further than its
    /// author meant, or, as a `deny` that no longer fits, let others reach further. The real server (since 2.6) therefore
    /// refuses everything to the token; so does this one.
    case forbidden
}

extension PolicyTemplate {
    /// The path with the values of `subject` in it.
    func substituted(for subject: PolicySubject?) -> SubstitutedPath {
        guard let subject else { return .absent }
        var path: [UInt8] = []
        for part in parts {
            switch part {
            case .text(let text): path.append(contentsOf: text)
            case .value(let selector):
                guard let value = subject.value(selector) else { return .absent }
                if value.utf8.contains(where: { $0 == 0x2a || $0 == 0x2b || $0 == 0x2f }) { return .forbidden }
                path.append(contentsOf: value.utf8)
            }
        }
        return PolicyPattern(String(decoding: path, as: UTF8.self)).map { .pattern($0) } ?? .forbidden
    }
}
