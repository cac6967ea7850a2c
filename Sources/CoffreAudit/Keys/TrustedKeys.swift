/// Somebody's own copy of a log's `log.vkey`.
///
/// Mail and editors turn line feeds into CR LF, and drop or add empty lines at the end; that changes no key. Anything else
/// is refused. One key does not do: the stable one alone would let its thief begin another history with an epoch of his
/// own, and the key of epoch 0 alone names no log. So nothing is taken from the folder, and nothing from a bundle.
package enum TrustedKeys {
    /// What is wrong with a copy.
    package enum Defect: Error, Sendable, Equatable {
        /// It is not a list of keys in C2SP form, or not that of a log.
        case notKeys
        /// It holds one key; the name of the other is given.
        case missing(name: String)
    }

    /// - Returns: the bytes of `log.vkey`.
    package static func parse(_ copy: [UInt8]) throws(Defect) -> [UInt8] {
        var lines = copy.split(separator: 0x0a, omittingEmptySubsequences: false).map { line in
            line.last == 0x0d ? line.dropLast() : line
        }
        while lines.last?.isEmpty == true { lines.removeLast() }
        if lines.count == 1, let key = NoteVerifierKey(String(decoding: lines[0], as: UTF8.self)) {
            let suffix = LogIdentity.epochName("", 0)
            let isEpoch = key.name.hasSuffix(suffix)
            throw .missing(
                name: isEpoch ? String(key.name.dropLast(suffix.count)) : LogIdentity.epochName(key.name, 0)
            )
        }
        let text = Array(lines.joined(separator: [0x0a])) + [0x0a]
        guard LogIdentity(text) != nil else { throw .notKeys }
        return text
    }
}
