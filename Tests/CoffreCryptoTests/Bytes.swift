import CoffreCrypto
import Foundation

/// Bytes from hex with any white space, as standards print them.
func hex(_ text: String) -> [UInt8] {
    guard let bytes = Hex.decode(Array(text.filter { !$0.isWhitespace }.utf8)) else { preconditionFailure("no hex") }
    return bytes
}

func ascii(_ text: String) -> [UInt8] { Array(text.utf8) }

/// A key in guarded memory.
func key(_ bytes: [UInt8]) -> SecretBytes { SecretBytes.key(count: bytes.count) { $0.copyBytes(from: bytes) } }

extension SecretBytes {
    /// A copy that the test may look at.
    borrowing func copy() -> [UInt8] { withBytes { Array($0) } }
}
