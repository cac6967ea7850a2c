internal import CoffreCrypto

/// The proof that a segment was pruned under the rules of the log: its `prune` record, proven under a signed checkpoint.
/// In the file `pruned/000000092000.tlog-proof`.
struct PruneCertificate: Sendable {
    static let folder = "pruned"

    /// First and last record of the segment.
    let range: ClosedRange<UInt64>
    let proof: RecordProof
    /// SHA-256 of the segment's `.seal` file, base64.
    private let seal: String
    private let until: String
    private let months: Int

    static func path(_ first: UInt64) -> String { "\(folder)/\(SegmentName.stem(first)).tlog-proof" }

    static func nodesPath(_ first: UInt64) -> String { "\(folder)/\(SegmentName.stem(first)).nodes" }

    static func sealHash(_ note: [UInt8]) -> String { Base64.encode(SHA256.hash(note).bytes) }

    /// Strict: nil when `text` does not prove a `prune` record that came after the segment.
    init?(_ text: [UInt8], epochs: EpochChain) {
        guard let proof = RecordProof(text, epochs: epochs), proof.operation == .prune,
            let first = proof.number("first"), let last = proof.number("last"), first <= last, last < proof.index,
            let seal = proof.detail("seal"), let until = proof.detail("until"),
            let months = proof.number("months"), Self.months.contains(months)
        else { return nil }
        self.until = until
        self.months = Int(months)
        range = first...last
        self.proof = proof
        self.seal = seal
    }

    /// The shortest and the longest retention that there is.
    static let months: ClosedRange<UInt64> = 6...36

    /// Whether it speaks of the segment with that seal, and the segment was old enough when it was written.
    func isOf(_ seal: SegmentSeal, note: [UInt8]) -> Bool {
        guard range == seal.first...seal.last, self.seal.utf8.elementsEqual(Self.sealHash(note).utf8),
            until.utf8.elementsEqual(seal.lastTime.utf8)
        else { return false }
        var form = RecordForm()
        let time = proof.line.withUnsafeBytes { form.read($0) == nil ? form.time : nil }
        return time.map { seal.lastTime.microseconds <= $0.subtracting(months: months).microseconds } ?? false
    }

    /// The certificates of a log.
    /// - Returns: by the first record of their segments; or what is wrong: a false or surplus file.
    static func load(
        _ files: any LogFileSystem,
        _ epochs: EpochChain
    ) throws(FileFailure) -> (certificates: [UInt64: PruneCertificate], defect: (file: String, reason: String)?) {
        var found: [UInt64: PruneCertificate] = [:]
        guard try files.identity(of: folder) != nil else { return (found, nil) }
        for name in try files.names(in: folder).sorted() where !name.hasSuffix(".new") && !name.hasSuffix(".nodes") {
            let path = "\(folder)/\(name)"
            let text = try files.contents(of: path, limit: RecordProof.maximumBytes) ?? []
            guard let certificate = PruneCertificate(text, epochs: epochs),
                path.utf8.elementsEqual(Self.path(certificate.range.lowerBound).utf8)
            else { return (found, (path, "it does not prove that a segment was pruned under this log's keys")) }
            found[certificate.range.lowerBound] = certificate
        }
        return (found, nil)
    }
}
