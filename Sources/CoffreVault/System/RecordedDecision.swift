internal import CoffreWire

/// What a record says of its decision, and how it could be taken again.
struct RecordedDecision {
    let record: JSONValue
    /// Seconds since 1970.
    let time: Int64
    let operation: String
    let outcome: String
    /// Without the sudo that the path may also want; nil when the record does not say.
    let capability: Capability?
    let right: String?
    let needsSudo: Bool
    let path: String?
    let policy: String?
    let version: Int?
    let rule: Int?
    let set: String?

    init?(_ line: [UInt8]) {
        guard let record = try? JSONValue(parsing: line),
            let time = record["_t"]?.string.flatMap({ RFC3339.seconds($0) }),
            let operation = record["what"]?["op"]?.string, let outcome = record["out"]?["code"]?.string
        else { return nil }
        self.record = record
        self.time = time
        self.operation = operation
        self.outcome = outcome
        let why = record["why"]
        let right = why?["cap"]?.string
        needsSudo = right?.hasPrefix("sudo+") ?? false
        self.right = right.map { $0.hasPrefix("sudo+") ? String($0.dropFirst(5)) : $0 }
        capability = self.right.flatMap { Capability(name: $0) }
        path = record["what"]?["path"]?.string
        policy = why?["pol"]?.string
        version = why?["polv"]?.integer.map { Int(clamping: $0) }
        rule = why?["rule"]?.integer.map { Int(clamping: $0) }
        set = why?["set"]?.string
    }

    /// Whether the vault let the request pass: what failed afterwards was let pass too.
    var wasAllowed: Bool { outcome == "granted" || outcome == "error" }

    /// The paths that policies may have been asked about: a record leaves out what a KV mount puts behind its own path.
    /// - Parameter mount: the versioned KV mount of `path`, when there is one.
    func paths(mount: String?) -> [[UInt8]] {
        guard let path, let capability else { return [] }
        var names: [String] = []
        if mount != nil {
            switch (operation, capability) {
            case ("secret.read", _): names = ["data", "subkeys"]
            case ("secret.write", _): names = ["data"]
            case ("secret.list", _): names = ["metadata", "detailed-metadata"]
            case ("secret.delete", .update): names = ["delete"]
            case ("secret.delete", _): names = ["data", "metadata"]
            case ("kv.undelete", _): names = ["undelete"]
            case ("kv.destroy", _): names = ["destroy"]
            case ("kv.metadata", _): names = ["metadata"]
            default: names = []
            }
        }
        let isListing = capability == .list || capability == .scan
        return (names.isEmpty ? [path] : names.map { (mount ?? "") + $0 + "/" + path.dropFirst((mount ?? "").count) })
            .map {
                text in
                var bytes = Array(text.utf8)
                while bytes.last == 0x2f { bytes.removeLast() }
                if isListing { bytes.append(0x2f) }
                return bytes
            }
    }
}
