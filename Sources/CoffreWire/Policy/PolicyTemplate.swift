/// A path with `{{identity…}}` in it, taken apart.
package struct PolicyTemplate: Sendable, Equatable {
    /// What is known of one identity: an entity, a group or an alias.
    package enum Attribute: Sendable, Equatable {
        case id
        case name
        case metadata(String)
        case customMetadata(String)
    }

    /// Which value stands in a place.
    package enum Selector: Sendable, Equatable {
        case entity(Attribute)
        case alias(accessor: String, Attribute)
        case groupID(String, Attribute)
        case groupName(String, Attribute)
    }

    package enum Part: Sendable, Equatable {
        case text([UInt8])
        case value(Selector)
    }

    package let parts: [Part]

    /// Nil when `text` holds no template.
    /// - Throws: ``PolicyError``: braces without their counterpart, or a selector that does not exist.
    init?(_ text: String) throws(PolicyError) {
        var parts: [Part] = []
        var hasValue = false
        for part in try BracedText.parts(of: text) {
            switch part {
            case .text(let text): parts.append(.text(text))
            case .braced(let inner):
                parts.append(.value(try Self.selector(inner)))
                hasValue = true
            }
        }
        guard hasValue else { return nil }
        self.parts = parts
    }

    private static func selector(_ text: String) throws(PolicyError) -> Selector {
        let unknown = PolicyError(
            "{{\(text)}} is no template: there are {{identity.entity.id}}, .name, .metadata.KEY, "
                + ".aliases.ACCESSOR.(id|name|metadata.KEY|custom_metadata.KEY) and "
                + "{{identity.groups.(ids|names).GROUP.(id|name|metadata.KEY)}}"
        )
        if let rest = text.dropping("identity.entity.aliases.") {
            guard let (accessor, attribute) = split(rest), let attribute = self.attribute(attribute) else {
                throw unknown
            }
            return .alias(accessor: accessor, attribute)
        }
        if let rest = text.dropping("identity.entity.") {
            guard let attribute = attribute(rest), !attribute.isCustom else { throw unknown }
            return .entity(attribute)
        }
        for (prefix, isID) in [("identity.groups.ids.", true), ("identity.groups.names.", false)] {
            guard let rest = text.dropping(prefix) else { continue }
            guard let (group, attribute) = split(rest), let attribute = self.attribute(attribute), !attribute.isCustom
            else { throw unknown }
            return isID ? .groupID(group, attribute) : .groupName(group, attribute)
        }
        throw unknown
    }

    // At the first full stop, as the real server does: a name with one in it cannot be selected.
    private static func split(_ text: Substring) -> (String, Substring)? {
        guard let stop = text.firstIndex(of: "."), stop > text.startIndex else { return nil }
        return (String(text[..<stop]), text[text.index(after: stop)...])
    }

    private static func attribute(_ text: Substring) -> Attribute? {
        switch text {
        case "id": return .id
        case "name": return .name
        default:
            if let key = String(text).dropping("metadata."), !key.isEmpty { return .metadata(String(key)) }
            if let key = String(text).dropping("custom_metadata."), !key.isEmpty { return .customMetadata(String(key)) }
            return nil
        }
    }
}

extension PolicyTemplate.Attribute {
    fileprivate var isCustom: Bool { if case .customMetadata = self { true } else { false } }
}

extension String {
    fileprivate func dropping(_ prefix: String) -> Substring? {
        utf8.starts(with: prefix.utf8) ? self[utf8.index(utf8.startIndex, offsetBy: prefix.utf8.count)...] : nil
    }
}
