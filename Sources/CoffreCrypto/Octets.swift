// libsodium's headers ask for non-null pointers; buffers of secret memory always have one.
extension UnsafeMutableRawBufferPointer {
    var octets: UnsafeMutablePointer<UInt8> {
        guard let baseAddress else { preconditionFailure("a buffer without memory") }
        return baseAddress.assumingMemoryBound(to: UInt8.self)
    }
}

extension UnsafeRawBufferPointer {
    var octets: UnsafePointer<UInt8> {
        guard let baseAddress else { preconditionFailure("a buffer without memory") }
        return baseAddress.assumingMemoryBound(to: UInt8.self)
    }
}
