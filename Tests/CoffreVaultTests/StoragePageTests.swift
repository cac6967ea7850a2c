import CoffreCrypto
import CoffreStorage
import CoffreTestSupport
import CoffreVault
import Foundation
import Testing

/// The worked example of Storage.md, which was made apart from this code.
struct StoragePageTests {
    private static let page = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("Sources/CoffreVault/CoffreVault.docc/Storage.md")

    /// The bytes that stand in the page's list after `label`.
    private func bytes(_ label: String) throws -> [UInt8] {
        let text = try String(contentsOf: Self.page, encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("- \(label): `") })
        return try #require(Hex.decode(Array(line.dropFirst(label.count + 5).dropLast().utf8)))
    }

    private func key(_ byte: UInt8) -> SharedSecret { SharedSecret(copying: [UInt8](repeating: byte, count: 32)) }

    @Test func theWorkedExampleIsWhatTheBarrierWrites() throws {
        let vault = (0..<16).map { UInt8($0) }
        let place = BarrierKey(namespace: .kvData, parent: Array("payroll".utf8), name: Array("database".utf8))
        let address = key(0x11).withSecret { BarrierAddress.row(place, HMACKey($0)) }
        #expect(address.parent.bytes == (try bytes("parent hash")))
        #expect(address.name.bytes == (try bytes("name hash")))
        let aad = BarrierRow.associatedData(
            vault: vault,
            field: .value,
            address: address,
            version: 5,
            format: 1,
            term: 1
        )
        #expect(aad == (try bytes("AAD of the value")))
        let cipher = try key(0x33).withSecret { try AESGCM(key: $0) }
        func cell(_ text: String, _ field: BarrierRow.Field, _ nonce: UInt8) throws -> [UInt8] {
            try Array(text.utf8).withUnsafeBytes { text in
                try BarrierRow.encrypt(
                    text,
                    under: cipher,
                    term: 1,
                    vault: vault,
                    field: field,
                    address: address,
                    version: 5,
                    nonce: (nonce..<nonce + 12).map { $0 }
                )
            }
        }
        let label = try cell("database", .label, 0x40)
        let value = try cell("hunter2", .value, 0x50)
        #expect(label == (try bytes("label cell")))
        #expect(value == (try bytes("value cell")))
        let row = StoredRow(version: 5, label: label, value: value)
        let element = key(0x22).withSecret { SetHash.element(address, row, key: HMACKey($0)) }
        #expect(element.bytes == (try bytes("element of the set hash")))
    }
}
