internal import CoffreCrypto

/// An order that records be kept beyond their time. In force while its file `hold/<id>.tlog-proof` is there: the
/// `hold.set` record, proven under a signed checkpoint. It never ends by itself.
package struct LegalHold: Sendable, Equatable {
    /// What is held.
    package enum Scope: Sendable, Equatable {
        /// Records of a time: microseconds since 1970, from the first to before the second.
        case range(since: Int64, until: Int64)
        /// Records of a connection.
        case connector(String)
        /// Records in which a pseudonym occurs.
        case subject(String)
    }

    static let folder = "hold"

    /// `h-` and twelve characters.
    package let id: String
    package let scope: Scope
    package let reason: String
    /// The day on which somebody must look at it again: `2027-06-30`.
    package let review: String
    /// The head under which its record is proven.
    let head: Checkpoint
    /// Number and time (RFC 3339) of its record.
    package let record: UInt64
    package let time: String

    static func path(_ id: String) -> String { "\(folder)/\(id).tlog-proof" }

    package static func isValidID(_ id: String) -> Bool {
        id.utf8.count == 14 && id.hasPrefix("h-")
            && id.utf8.dropFirst(2).allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0)
            }
    }

    /// `2027-06-30`, a day there is.
    package static func isValidDay(_ text: String) -> Bool { RecordTime(Array("\(text)T00:00:00.000000Z".utf8)) != nil }

    /// What a `hold.set` record says of a hold.
    package static func details(_ scope: Scope, id: String, reason: String, review: String) -> [AuditWhat.Detail] {
        var details: [AuditWhat.Detail] = [
            ("id", .text(id)), ("reason", .text(reason)), ("review", .text(review)),
        ]
        switch scope {
        case .range(let since, let until):
            details.append(("scope", .text("range")))
            details.append(("since", .int(since)))
            details.append(("until", .int(until)))
        case .connector(let name):
            details.append(("scope", .text("connector")))
            details.append(("connector", .text(name)))
        case .subject(let sid):
            details.append(("scope", .text("subject")))
            details.append(("subject", .text(sid)))
        }
        return details
    }

    /// Latest moment of a hold: numbers in records end with 2^53.
    package static let latest: Int64 = 9_007_199_254_740_991

    /// Why a hold of this kind could not be read back from its record; nil when it can.
    package static func defect(_ scope: Scope, reason: String) -> String? {
        switch scope {
        case .range(let since, let until):
            guard since >= 0, since < until, until <= latest else {
                return "a hold ends after it begins, and before the year 2255"
            }
        case .connector(let name), .subject(let name):
            guard (1...400).contains(name.utf8.count) else { return "a name has 1 to 400 bytes" }
        }
        return (1...400).contains(reason.utf8.count) ? nil : "a reason has 1 to 400 bytes"
    }

    /// Nil when `proof` is not a hold.
    init?(_ proof: RecordProof) {
        var form = RecordForm()
        let found = proof.line.withUnsafeBytes { line -> (order: HoldHistory.Order, time: RecordTime)? in
            guard form.read(line) == nil else { return nil }
            return HoldHistory.Order(line, form).map { ($0, form.time) }
        }
        guard let (order, time) = found else { return nil }
        id = order.id
        scope = order.scope
        reason = order.reason
        review = order.review
        record = proof.index
        head = proof.checkpoint
        self.time = String(decoding: time.utf8, as: UTF8.self)
    }

    /// The holds of a log, by their ids.
    /// - Returns: the holds, or what is wrong: a false or surplus file.
    static func load(
        _ files: any LogFileSystem,
        _ epochs: EpochChain
    ) throws(FileFailure) -> (holds: [LegalHold], defect: (file: String, reason: String)?) {
        var holds: [LegalHold] = []
        guard try files.identity(of: folder) != nil else { return ([], nil) }
        for name in try files.names(in: folder).sorted() where !name.hasSuffix(".new") {
            let file = "\(folder)/\(name)"
            let text = try files.contents(of: file, limit: RecordProof.maximumBytes) ?? []
            guard let proof = RecordProof(text, epochs: epochs), let hold = LegalHold(proof),
                path(hold.id).utf8.elementsEqual(file.utf8)
            else { return (holds, (file, "it does not prove a hold under this log's keys")) }
            holds.append(hold)
        }
        return (holds, nil)
    }
}

/// A hold in force as far as deleting goes: what it keeps.
struct HeldScope: Sendable {
    let id: String
    let scope: LegalHold.Scope
}

extension LegalHold.Scope {
    /// Whether the segment may hold such records; by subject and time only its lines tell, and then this is true.
    func mayConcern(_ seal: SegmentSeal) -> Bool {
        switch self {
        case .connector(let name):
            var row = ByteBuffer(capacity: 64)
            row.append(byte: 0x5b)
            row.append(text: name)
            row.append(byte: 0x2c)
            return seal.connectors.contains(Array(row.bytes))
        // The clock may have gone back between the first record and the last.
        case .subject, .range: return true
        }
    }

    /// Whether a record is one of those that are held.
    func concerns(_ line: UnsafeRawBufferPointer, _ form: borrowing RecordForm) -> Bool {
        switch self {
        case .range(let since, let until): return since <= form.time.microseconds && form.time.microseconds < until
        case .connector(let name):
            return form.text("what", "conn", in: line).map { $0.utf8.elementsEqual(name.utf8) } ?? false
        case .subject(let sid): return form.subjects(in: line).contains { $0.utf8.elementsEqual(sid.utf8) }
        }
    }
}

extension RecordForm {
    /// The pseudonyms in the line read last.
    func subjects(in line: UnsafeRawBufferPointer) -> [String] {
        let who = [text("who", "sid", in: line), text("who", "ksid", in: line), text("who", "for", in: line)]
        let named = [
            text("why", "appr", in: line), detail("sid", in: line).map { String(decoding: $0, as: UTF8.self) },
        ]
        return (who + named).compactMap { $0 }
    }
}
