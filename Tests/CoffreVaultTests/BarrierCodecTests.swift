import CoffreCrypto
import CoffreStorage
import CoffreVault
import Testing

/// Decoders accept exactly what the encoders write, for any bytes.
struct BarrierCodecTests {
    private var place: BarrierPlace {
        BarrierPlace(
            vaultID: Array(0..<16),
            address: StorageAddress(namespace: 7, parent: .zero, name: .zero),
            field: .value,
            version: 5
        )
    }

    private func open(_ cell: [UInt8], _ cipher: AESGCM) -> [UInt8]? {
        guard let opened = BarrierCell.decrypt(cell, at: place, cipher: cipher) else { return nil }
        return opened.withBytes { Array($0) }
    }

    /// `rounds` variants of `bytes`: a changed byte, a cut, an extension, or noise.
    private func mutants(_ bytes: [UInt8], rounds: Int) -> [[UInt8]] {
        (0..<rounds).map { round in
            var mutant = bytes
            switch round % 4 {
            case 0: mutant[Int.random(in: mutant.indices)] = UInt8.random(in: 0...255)
            case 1: mutant.removeLast(Int.random(in: 1...mutant.count))
            case 2: mutant += Random.bytes(Int.random(in: 1...40))
            default: mutant = Random.bytes(Int.random(in: 0...200))
            }
            return mutant
        }
    }

    @Test(arguments: [0, 1, 28, 29, 100, 4092, 4093, 9000])
    func cellsDecodeToWhatWasEncodedOrNotAtAll(count: Int) throws {
        let cipher = try SharedSecret(copying: Random.bytes(32)).withSecret { try AESGCM(key: $0) }
        let plain = Random.bytes(count)
        let cell = try plain.withUnsafeBytes { try BarrierCell.encrypt($0, for: place, term: 3, cipher: cipher) }
        #expect(cell.count == BarrierCell.headBytes + BarrierPadding.paddedCount(count) + AESGCM.tagBytes)
        #expect(BarrierCell(decoding: cell)?.encoded == cell)
        #expect(open(cell, cipher) == plain)
        for mutant in mutants(cell, rounds: 400) where mutant != cell {
            if let decoded = BarrierCell(decoding: mutant) { #expect(decoded.encoded == mutant) }
            #expect((BarrierCell.term(ofCell: mutant) != nil) == (BarrierCell(decoding: mutant) != nil))
            #expect(open(mutant, cipher) == nil)
        }
    }

    @Test func aCellOpensAtItsOwnPlaceOnly() throws {
        let cipher = try SharedSecret(copying: Random.bytes(32)).withSecret { try AESGCM(key: $0) }
        let cell = try Array("x".utf8).withUnsafeBytes {
            try BarrierCell.encrypt($0, for: place, term: 3, cipher: cipher)
        }
        func opens(
            vault: [UInt8]? = nil,
            namespace: UInt8 = 7,
            parent: StorageHash = .zero,
            name: StorageHash = .zero,
            field: BarrierPlace.Field = .value,
            version: UInt64 = 5
        ) -> Bool {
            let place = BarrierPlace(
                vaultID: vault ?? Array(0..<16),
                address: StorageAddress(namespace: namespace, parent: parent, name: name),
                field: field,
                version: version
            )
            guard BarrierCell.decrypt(cell, at: place, cipher: cipher) != nil else { return false }
            return true
        }
        let other = try #require(StorageHash([UInt8](repeating: 1, count: 16)))
        #expect(opens())
        #expect(!opens(vault: Array(1...16)))
        #expect(!opens(namespace: 8))
        #expect(!opens(parent: other))
        #expect(!opens(name: other))
        #expect(!opens(field: .label))
        #expect(!opens(version: 6))
    }

    @Test func paddingTakesBucketsAndNothingElse() {
        let expected = [
            (0, 32), (28, 32), (29, 64), (60, 64), (61, 128), (2044, 2048), (2045, 4096), (4092, 4096), (4093, 8192),
            (8188, 8192), (8189, 12_288),
        ]
        for (count, padded) in expected { #expect(BarrierPadding.paddedCount(count) == padded) }
        var bytes = [UInt8](repeating: 0xff, count: 64)
        let content = Random.bytes(40)
        content.withUnsafeBytes { content in bytes.withUnsafeMutableBytes { BarrierPadding.pad(content, into: $0) } }
        func read(_ bytes: [UInt8]) -> [UInt8]? {
            bytes.withUnsafeBytes { BarrierPadding.content(of: $0).map { Array($0) } }
        }
        #expect(read(bytes) == content)
        for position in 44..<64 {
            var changed = bytes
            changed[position] = 1
            #expect(read(changed) == nil, "padding is zeros")
        }
        for length in [0, 1, 28, 61, 64, 1 << 20, Int(UInt32.max)] {
            var changed = [UInt8](repeating: 0, count: 64)
            withUnsafeBytes(of: UInt32(length).bigEndian) { changed.replaceSubrange(0..<4, with: $0) }
            #expect(read(changed) == nil, "the bucket is the smallest that fits")
        }
        #expect(read([]) == nil)
    }

    @Test func metaRowsDecodeToWhatWasEncodedOrNotAtAll() {
        let meta = BarrierMeta(
            generation: 7,
            lastVersion: 9,
            setHash: BarrierSetHash(SHA256.hash([1])),
            controlDigest: SHA256.hash([2]),
            encryptions: 77,
            rowsByTerm: [.init(term: 1, rows: 3), .init(term: 4, rows: .max)]
        )
        let bytes = meta.encoded
        #expect(BarrierMeta(decoding: bytes) == meta)
        for mutant in mutants(bytes, rounds: 4000) {
            if let decoded = BarrierMeta(decoding: mutant) { #expect(decoded.encoded == mutant) }
        }
        let disordered = BarrierMeta(
            generation: 1,
            controlDigest: .zero,
            rowsByTerm: [.init(term: 4, rows: 1), .init(term: 1, rows: 1)]
        )
        #expect(BarrierMeta(decoding: disordered.encoded) == nil)
        let empty = BarrierMeta(generation: 1, controlDigest: .zero, rowsByTerm: [.init(term: 4, rows: 0)])
        #expect(BarrierMeta(decoding: empty.encoded) == nil)
    }

    @Test func keyringsDecodeToWhatWasEncodedOrNotAtAll() throws {
        func bytes(_ keyring: BarrierKeyring) -> [UInt8] { SharedSecret(keyring.encoded()).withBytes { Array($0) } }
        func decode(_ bytes: [UInt8]) -> BarrierKeyring? { bytes.withUnsafeBytes { BarrierKeyring(decoding: $0) } }
        let keyring = try BarrierKeyring(createdAt: 1_700_000_000)
        let encoded = bytes(keyring)
        let decoded = try #require(decode(encoded))
        #expect(bytes(decoded) == encoded)
        #expect(decoded.terms.map(\.number) == [1])
        #expect(decoded.address(of: key("a")) == keyring.address(of: key("a")))
        for mutant in mutants(encoded, rounds: 400) {
            if let decoded = decode(mutant) { #expect(bytes(decoded) == mutant) }
        }
    }

    @Test func theSetHashIsASumThatForgetsWhatIsTakenAway() {
        let elements = (0..<20).map { BarrierSetHash(SHA256.hash([UInt8($0)])) }
        var sum = BarrierSetHash.zero
        for element in elements { sum += element }
        var reversed = BarrierSetHash.zero
        for element in elements.reversed() { reversed += element }
        #expect(sum == reversed)
        sum += elements[3]
        #expect(sum != reversed, "a multiset, not a set")
        sum -= elements[3]
        for element in elements.shuffled() { sum -= element }
        #expect(sum == .zero)
        let most = BarrierSetHash(Digest([UInt8](repeating: 255, count: 32))!)
        let one = BarrierSetHash(Digest([UInt8](repeating: 0, count: 31) + [1])!)
        var wrapped = most
        wrapped += one
        #expect(wrapped == .zero)
        wrapped -= one
        #expect(wrapped == most)
        #expect(wrapped.digest == Digest([UInt8](repeating: 255, count: 32)))
    }

    @Test func messagesHoldNoNames() {
        let errors: [BarrierError] = [
            .sealed, .conflict, .corrupt(address: "07ab"), .setHashMismatch, .wrongKey, .notInitialized,
            .alreadyInitialized, .tooLarge, .tooManyTerms, .storage(StorageError(.full, "no space")),
        ]
        #expect(Set(errors.map(\.message)).count == errors.count)
    }
}
