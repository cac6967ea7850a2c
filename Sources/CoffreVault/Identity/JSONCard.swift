internal import CoffreWire

/// What stands on a subject's card: enough to name the account later, outside the log.
enum JSONCard {
    static func encode(kind: String, uid: UInt32?, entity: String?) -> [UInt8] {
        var members: [JSONValue.Member] = [.init("kind", .string(kind))]
        if let uid { members.append(.init("uid", .integer(uid))) }
        if let entity { members.append(.init("entity", .string(entity))) }
        return JSONValue.object(members).encoded()
    }
}
