internal import CoffreCrypto

/// The epochs of a log, from the keys in `log.vkey` on: each seal is signed by the key of its epoch, and introduces the
/// next one's. It says which keys sign what covers a given number of records.
struct EpochChain: Sendable {
    /// Epochs that are read: more than two thousand years of days.
    private static let maximumEpochs = 1_000_000

    let identity: LogIdentity
    private(set) var seals: [EpochSeal] = []

    init(_ identity: LogIdentity) { self.identity = identity }

    var origin: String { identity.origin }
    /// The epoch that is open.
    var number: UInt64 { UInt64(seals.count) }
    /// Records at the end of the last sealed epoch.
    var sealedSize: UInt64 { seals.last?.checkpoint.size ?? 0 }

    /// The public key of an epoch, 32 bytes; nil when no seal introduces it.
    func key(of number: UInt64) -> [UInt8]? { number <= self.number ? key(Int(number)).publicKey : nil }

    private func key(_ number: Int) -> NoteVerifierKey { number == 0 ? identity.epoch : seals[number - 1].nextKey }

    /// The stable key and that of the epoch in which the log grew to `size`.
    func signers(of size: UInt64) -> [NoteVerifierKey] {
        // The first epoch that does not end before it.
        var (low, high) = (0, seals.count)
        while low < high {
            let middle = (low + high) / 2
            if seals[middle].checkpoint.size < size { low = middle + 1 } else { high = middle }
        }
        return [identity.stable, key(low)]
    }

    /// The text of a note whose second line is a tree size, when the keys of that size have signed it.
    /// - Parameter others: see ``SignedNote/open(_:keys:others:)``.
    func open(_ note: [UInt8], others: Bool = false) -> [UInt8]? {
        let lines = note.prefix(1024).split(separator: 0x0a, maxSplits: 2, omittingEmptySubsequences: false)
        guard lines.count == 3, let size = UInt64(String(decoding: lines[1], as: UTF8.self)) else { return nil }
        return SignedNote.open(note, keys: signers(of: size), others: others)
    }

    /// Adds the seal of the open epoch.
    /// - Returns: why `text` is not that.
    mutating func append(_ text: [UInt8]) -> String? {
        let signers = [identity.stable, key(seals.count)]
        guard let seal = EpochSeal(text, number: number, origin: origin, signers: signers) else {
            return "it is not the seal of epoch \(number), signed with this log's key, that epoch's and the next one's"
        }
        guard seal.index >= sealedSize, seal.index > 0 else { return "the epoch ends before it begins" }
        seals.append(seal)
        return nil
    }

    /// The seal that a `key.rotate` record belongs to.
    /// - Parameter sequence: the record's number.
    /// - Returns: why the record is not one that ends an epoch; nil when it is.
    func defect(ofRotation line: UnsafeRawBufferPointer, at sequence: UInt64) -> String? {
        guard let seal = seals.first(where: { $0.index == sequence }) else { return Self.unsealed }
        return TlogProof.parts(seal.text).map { $0.extra.elementsEqual(line) } == true
            ? nil : "it is not the record that the seal of epoch \(seal.number) proves"
    }

    /// Said of a `key.rotate` record whose epoch has no seal: yet, or any more.
    static let unsealed = "it ends an epoch whose seal is missing"

    /// Reads the seals of a log.
    /// - Returns: the chain, and what is wrong with it: a missing, false or surplus file.
    static func load(
        _ files: any LogFileSystem,
        _ identity: LogIdentity
    ) throws(FileFailure) -> (chain: EpochChain, defect: (file: String, reason: String)?) {
        var chain = EpochChain(identity)
        guard try files.identity(of: EpochSeal.folder) != nil else { return (chain, nil) }
        var names = Set(try files.names(in: EpochSeal.folder).filter { !$0.hasSuffix(".new") })
        while names.remove(EpochSeal.fileName(chain.number)) != nil, chain.seals.count < maximumEpochs {
            let path = EpochSeal.path(chain.number)
            let text = try files.contents(of: path, limit: EpochSeal.maximumBytes) ?? []
            if let reason = chain.append(text) { return (chain, (path, reason)) }
        }
        if let left = names.min() {
            let reason = "epochs are not contiguous: the seal of epoch \(chain.number) is missing"
            return (chain, ("\(EpochSeal.folder)/\(left)", reason))
        }
        return (chain, nil)
    }
}
