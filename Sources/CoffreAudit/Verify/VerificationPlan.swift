internal import CoffreCrypto

/// Goes through the seals of a log, one after the other, and says for each segment where the chain must stand before it.
/// The segments can then be verified in any order: each must lead from its own start to the start of the next one.
struct VerificationPlan {
    /// A segment to be read.
    struct Task {
        /// Place in the log, from 0.
        let index: Int
        let segment: SegmentName.Listed
        /// Where the chain stands before it, if the segments before are what their seals say.
        let start: ChainState
        /// What its seal says; nil when it is open.
        let seal: SegmentSeal?
        let epochs: EpochChain
    }

    enum Step {
        case read(Task)
        /// What stays of a segment that was pruned, under a certificate.
        case pruned(index: Int, seal: SegmentSeal, PrunedNodes)
        case finding(index: Int, VerificationReport.Finding)
        case end
    }

    let files: any LogFileSystem
    let segments: [SegmentName.Listed]
    let expected: ExpectedRoots
    private let certificates: [UInt64: PruneCertificate]
    private(set) var epochs: EpochChain
    /// Where the chain stands before the next segment.
    private(set) var chain = ChainState()
    private var index = 0
    private var certified: Set<UInt64>

    init(
        _ files: any LogFileSystem,
        _ segments: [SegmentName.Listed],
        _ epochs: EpochChain,
        _ certificates: [UInt64: PruneCertificate],
        _ expected: ExpectedRoots
    ) {
        self.files = files
        self.segments = segments
        self.epochs = epochs
        self.certificates = certificates
        self.expected = expected
        certified = Set(certificates.keys)
    }

    mutating func next() throws(FileFailure) -> Step {
        guard index < segments.count else {
            if let first = certified.min() {
                return finding(PruneCertificate.path(first), nil, "there is no segment that it could speak of")
            }
            return .end
        }
        let segment = segments[index]
        let name = segment.name
        guard name.first == chain.next else {
            return finding(
                name.path,
                chain.next,
                "record \(chain.next) is missing; the next segment begins with \(name.first)"
            )
        }
        guard segment.isSealed || index == segments.count - 1 else {
            return finding(name.sealPath, nil, "the seal of this segment is missing")
        }
        certified.remove(name.first)
        guard segment.isSealed else {
            defer { index += 1 }
            return .read(Task(index: index, segment: segment, start: chain, seal: nil, epochs: epochs))
        }
        let note = try files.contents(of: name.sealPath, limit: SegmentSeal.maximumBytes) ?? []
        guard let seal = try open(note), seal.first == name.first else {
            return finding(name.sealPath, nil, "it is not a seal of this segment, signed with both keys of this log")
        }
        defer {
            index += 1
            chain = ChainState(
                frontier: seal.end,
                leaf: seal.leaf,
                generation: seal.generation,
                lastTime: seal.lastTime
            )
        }
        guard segment.data == .none, try isGone(name) else {
            return .read(Task(index: index, segment: segment, start: chain, seal: seal, epochs: epochs))
        }
        return try pruned(seal, note)
    }

    /// The log may have turned to another epoch since.
    private mutating func open(_ note: [UInt8]) throws(FileFailure) -> SegmentSeal? {
        if let seal = SegmentSeal(note: note, epochs: epochs) { return seal }
        let (newer, defect) = try EpochChain.load(files, epochs.identity)
        if defect == nil { epochs = newer }
        return SegmentSeal(note: note, epochs: epochs)
    }

    private func isGone(_ name: SegmentName) throws(FileFailure) -> Bool {
        if try files.identity(of: name.path) != nil { return false }
        return try files.identity(of: name.packedPath) == nil
    }

    private func pruned(_ seal: SegmentSeal, _ note: [UInt8]) throws(FileFailure) -> Step {
        let first = seal.first
        let path = segments[index].name.path
        guard seal.start == chain.frontier, seal.previous == chain.leaf, seal.generation ?? 0 >= chain.generation ?? 0
        else { return finding(segments[index].name.sealPath, first, "it does not begin where the one before ends") }
        var roots = expected
        if let reason = roots.defect(at: seal.end) { return finding(path, seal.last, reason) }
        if let size = expected.inside(seal.start.size..<seal.end.size, of: LogVerifier.remembered) {
            let reason = "it covers \(size) records, and the last of them were pruned: it can no longer be compared"
            return finding(LogVerifier.remembered, size - 1, reason)
        }
        switch try Gap(files, segments[index].name, epochs, certificates[first]).nodes(seal, note) {
        case .success(let nodes): return .pruned(index: index, seal: seal, nodes)
        case .failure(let wrong): return .finding(index: index, wrong.finding)
        }
    }

    /// What must be there when the lines of a segment are not.
    struct Gap {
        /// What is wrong with it.
        struct Wrong: Error {
            let finding: VerificationReport.Finding
        }

        private let files: any LogFileSystem
        private let name: SegmentName
        private let epochs: EpochChain
        private let known: PruneCertificate?

        init(
            _ files: any LogFileSystem,
            _ name: SegmentName,
            _ epochs: EpochChain,
            _ known: PruneCertificate? = nil
        ) {
            self.files = files
            self.name = name
            self.epochs = epochs
            self.known = known
        }

        /// What stays of the segment in the tree, under a certificate that speaks of it.
        /// - Parameter note: the seal's file, read anew when nil.
        func nodes(
            _ seal: SegmentSeal,
            _ note: [UInt8]? = nil
        ) throws(FileFailure) -> Result<PrunedNodes, Wrong> {
            func wrong(_ file: String, _ reason: String) -> Result<PrunedNodes, Wrong> {
                .failure(Wrong(finding: .init(file: file, record: seal.first, reason: reason)))
            }
            var text = note
            if text == nil { text = try files.contents(of: name.sealPath, limit: SegmentSeal.maximumBytes) }
            let note = text ?? []
            guard let certificate = try certificate(seal.first) else {
                return wrong(name.path, "it is missing, and no signed record says that it was pruned")
            }
            let path = PruneCertificate.path(seal.first)
            guard certificate.isOf(seal, note: note) else {
                return wrong(path, "it speaks of another segment than the one sealed here, or of one that was not old")
            }
            let nodesPath = PruneCertificate.nodesPath(seal.first)
            let hashes = try files.contents(of: nodesPath, limit: 16_384) ?? []
            guard let nodes = PrunedNodes(hashes), nodes.lead(from: seal.start, to: seal.end) else {
                return wrong(nodesPath, "its hashes do not lead to the tree behind the gap")
            }
            return .success(nodes)
        }

        /// The log may have pruned the segment since the certificates were read.
        private func certificate(_ first: UInt64) throws(FileFailure) -> PruneCertificate? {
            if let known { return known }
            let path = PruneCertificate.path(first)
            guard let text = try files.contents(of: path, limit: RecordProof.maximumBytes) else { return nil }
            return PruneCertificate(text, epochs: try EpochChain.load(files, epochs.identity).chain)
        }
    }

    private func finding(_ file: String, _ record: UInt64?, _ reason: String) -> Step {
        .finding(index: index, VerificationReport.Finding(file: file, record: record, reason: reason))
    }
}
