import CoffreCrypto
import CoffreStorage
import CoffreVault
import Testing

/// The form of a cell on disk: a fixed vector, its binding to its place, and hostile bytes.
struct BarrierRowTests {
    static let vault = (0xa0..<0xb0).map { UInt8($0) }
    static let address = RowAddress(
        namespace: 7,
        parent: RowHash(high: 0x0102_0304_0506_0708, low: 0x1112_1314_1516_1718),
        name: RowHash(high: 0x2122_2324_2526_2728, low: 0x3132_3334_3536_3738)
    )
    static let plaintext = Array(#"{"password":"correct horse"}"#.utf8)
    /// Made by an independent implementation of formats.md, "Rows".
    static let golden = """
        0100000003404142434445464748494a4be2b9ae3f5d1ef762beb76059e90031615ba53d2ec5506c57572f2197e476cfa6449e23781d8e1e\
        f1b182ae2d45f2df68
        """

    static func cipher() throws -> AESGCM {
        try AESGCM(key: SecretBytes.key(count: 32) { $0.copyBytes(from: (0..<32).map { UInt8($0) }) })
    }

    private func seal(_ plaintext: [UInt8]) throws -> [UInt8] {
        let cipher = try Self.cipher()
        return try plaintext.withUnsafeBytes {
            try BarrierRow.encrypt(
                $0,
                under: cipher,
                term: 3,
                vault: Self.vault,
                field: .value,
                address: Self.address,
                version: 5,
                nonce: (0x40..<0x4c).map { UInt8($0) }
            )
        }
    }

    private func open(
        _ cell: [UInt8],
        vault: [UInt8] = vault,
        field: BarrierRow.Field = .value,
        address: RowAddress = address,
        version: UInt64 = 5
    ) throws -> [UInt8] {
        try BarrierRow.decrypt(
            cell,
            under: try Self.cipher(),
            vault: vault,
            field: field,
            address: address,
            version: version
        ).withBytes { Array($0) }
    }

    @Test func aCellIsTheOneOfTheSpecification() throws {
        #expect(Hex.encode(try seal(Self.plaintext)) == Self.golden)
        #expect(try open(try #require(Hex.decode(Array(Self.golden.utf8)))) == Self.plaintext)
    }

    @Test func aCellOpensInItsPlaceAlone() throws {
        let cell = try seal(Self.plaintext)
        let (parent, name) = (Self.address.parent, Self.address.name)
        let other = RowHash(high: 1, low: 2)
        #expect(throws: BarrierError.self) { try open(cell, version: 6) }
        #expect(throws: BarrierError.self) { try open(cell, field: .label) }
        #expect(throws: BarrierError.self) { try open(cell, vault: Array(Self.vault.reversed())) }
        for moved in [
            RowAddress(namespace: 6, parent: parent, name: name),
            RowAddress(namespace: 7, parent: other, name: name),
            RowAddress(namespace: 7, parent: parent, name: other),
        ] {
            let error = #expect(throws: BarrierError.self) { try open(cell, address: moved) }
            #expect(error?.code == .corrupt)
        }
    }

    @Test(arguments: [
        (0, 32), (28, 32), (29, 64), (60, 64), (61, 128), (4092, 4096), (4093, 8192), (8188, 8192), (8189, 12_288),
    ])
    func aLengthShowsOnlyAsItsBucket(_ count: Int, _ bucket: Int) throws {
        #expect(BarrierRow.bucket(count) == bucket)
        let cell = try seal([UInt8](repeating: 7, count: count))
        #expect(cell.count == bucket + BarrierRow.overheadBytes)
        #expect(try open(cell) == [UInt8](repeating: 7, count: count))
    }

    @Test func everyFlippedBitIsNoticed() throws {
        let cell = try seal(Self.plaintext)
        for bit in 0..<cell.count * 8 {
            var changed = cell
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(throws: BarrierError.self) { try open(changed) }
        }
    }

    @Test func anyBytesAreRefusedWithoutATrap() throws {
        var random = SeededGenerator(7)
        let cell = try seal(Self.plaintext)
        for round in 0..<2000 {
            var bytes = cell
            switch round % 4 {
            case 0:
                bytes = (0..<Int.random(in: 0...200, using: &random)).map { _ in
                    UInt8.random(in: 0...255, using: &random)
                }
            case 1: bytes = Array(cell[..<Int.random(in: 0..<cell.count, using: &random)])
            case 2: bytes.append(contentsOf: [UInt8](repeating: 0, count: Int.random(in: 1...40, using: &random)))
            default:
                bytes[Int.random(in: 0..<bytes.count, using: &random)] &+= UInt8.random(in: 1...255, using: &random)
            }
            #expect(throws: BarrierError.self) { try open(bytes) }
        }
    }
}

/// Numbers that are the same in every run: xorshift64*.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }
}
