import CoffreCrypto

func hex(_ text: String) -> [UInt8] {
    guard let bytes = Hex.decode(Array(text.utf8)) else { preconditionFailure("a vector is not hex") }
    return bytes
}

func guarded(_ bytes: [UInt8]) -> SharedSecret { SharedSecret(copying: bytes) }

extension SharedSecret {
    var bytes: [UInt8] { withBytes { Array($0) } }
}
