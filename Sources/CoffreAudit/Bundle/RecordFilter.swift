/// Which records of a range are shown; of the others only the leaf hash is. Every condition that is set must hold.
package struct RecordFilter: Sendable, Equatable {
    /// Pseudonym of who asked (`who.sid`, `who.ksid`), or for whom (`who.for`), or systemd unit (`who.unit`).
    package var actor: String?
    /// Connection id (`what.conn`).
    package var connector: String?
    /// `what.path`, or a prefix of it that ends with `*`.
    package var path: String?
    /// `what.op`.
    package var operation: AuditOperation?
    package var outcome: AuditDraft.Outcome?

    package init() {}

    package var isEmpty: Bool { self == RecordFilter() }

    var isPathPrefix: Bool { path?.utf8.last == 0x2a }

    func shows(_ line: UnsafeRawBufferPointer, _ form: borrowing RecordForm) -> Bool {
        if let operation, form.operation != operation { return false }
        if let outcome, form.outcome != outcome { return false }
        if let actor {
            let names: [StaticString] = ["sid", "unit", "for", "ksid"]
            guard names.contains(where: { Self.isSame(form.text("who", $0, in: line), actor) }) else { return false }
        }
        if let connector, !Self.isSame(form.text("what", "conn", in: line), connector) { return false }
        guard let path else { return true }
        guard let found = form.text("what", "path", in: line) else { return false }
        return isPathPrefix ? found.utf8.starts(with: path.utf8.dropLast()) : Self.isSame(found, path)
    }

    /// By bytes: two spellings of an accented letter are two names.
    private static func isSame(_ found: String?, _ asked: String) -> Bool {
        found.map { $0.utf8.elementsEqual(asked.utf8) } ?? false
    }
}
