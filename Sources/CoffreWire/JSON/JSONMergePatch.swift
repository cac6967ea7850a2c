/// JSON merge patch (RFC 7396) over texts that lie in somebody else's memory.
public enum JSONMergePatch {
    /// Writes `target` with `patch` applied, piece by piece. Values are copied byte for byte, so numbers keep their digits;
    /// of members with one name the last counts.
    /// - Parameters:
    ///   - target: what is changed; nil or no object counts as an empty object when the patch is one.
    ///   - patch: `null` members take the member away.
    ///   - emit: gets the pieces in order; valid during the call only.
    public static func apply(_ patch: JSONView, to target: JSONView?, emit: (UnsafeRawBufferPointer) -> Void) {
        guard patch.isObject else {
            emit(patch.raw)
            return
        }
        let changes = last(patch)
        var isFirst = true
        func start(_ name: [UInt8]) {
            emit(UnsafeRawBufferPointer(isFirst ? "{" : ","))
            isFirst = false
            JSONValue.quoted(name).withUnsafeBytes { emit($0) }
            emit(UnsafeRawBufferPointer(":"))
        }
        var seen: Set<[UInt8]> = []
        if let target, target.isObject {
            let current = last(target)
            for (key, _) in target.members {
                let name = Array(key.utf8)
                guard seen.insert(name).inserted, let value = current[name] else { continue }
                guard let change = changes[name] else {
                    start(name)
                    emit(value.raw)
                    continue
                }
                if change.isNull { continue }
                start(name)
                apply(change, to: value, emit: emit)
            }
        }
        for (key, _) in patch.members {
            let name = Array(key.utf8)
            guard seen.insert(name).inserted, let change = changes[name], !change.isNull else { continue }
            start(name)
            apply(change, to: nil, emit: emit)
        }
        emit(UnsafeRawBufferPointer(isFirst ? "{}" : "}"))
    }

    private static func last(_ view: JSONView) -> [[UInt8]: JSONView] {
        var result: [[UInt8]: JSONView] = [:]
        for (key, value) in view.members { result[Array(key.utf8)] = value }
        return result
    }
}

extension UnsafeRawBufferPointer {
    fileprivate init(_ text: StaticString) { self.init(start: text.utf8Start, count: text.utf8CodeUnitCount) }
}
