internal import CoffreCrypto
internal import Glibc
@_spi(CustomByteBufferAllocator) package import NIOCore
internal import Synchronization

/// Memory for NIO buffers that carry requests and answers: overwritten before it is given back.
///
/// Every block starts with a 16-byte header that holds its length, because NIO hands only the pointer to `free`.
package enum WipingMemory {
    static let headerBytes = 16

    /// Sees each block after it was wiped and before it is freed. Tests install it; nil otherwise.
    private static let observer = Mutex<(@Sendable (UnsafeRawBufferPointer) -> Void)?>(nil)
    private static let isObserved = Atomic<Bool>(false)

    /// Installs or removes the observer of freed blocks.
    package static func observe(_ body: (@Sendable (UnsafeRawBufferPointer) -> Void)?) {
        observer.withLock { $0 = body }
        isObserved.store(body != nil, ordering: .releasing)
    }

    static func allocate(_ size: Int) -> UnsafeMutableRawPointer? {
        guard let base = malloc(size + headerBytes) else { return nil }
        base.storeBytes(of: size, as: Int.self)
        return base + headerBytes
    }

    static func free(_ pointer: UnsafeMutableRawPointer) {
        let base = pointer - headerBytes
        let size = base.load(as: Int.self)
        Memory.wipe(UnsafeMutableRawBufferPointer(start: pointer, count: size))
        if isObserved.load(ordering: .acquiring) {
            observer.withLock { $0?(UnsafeRawBufferPointer(start: pointer, count: size)) }
        }
        Glibc.free(base)
    }

    static func reallocate(_ pointer: UnsafeMutableRawPointer?, _ newSize: Int) -> UnsafeMutableRawPointer? {
        guard let pointer else { return allocate(newSize) }
        guard let grown = allocate(newSize) else { return nil }
        let size = (pointer - headerBytes).load(as: Int.self)
        memcpy(grown, pointer, min(size, newSize))
        free(pointer)
        return grown
    }
}

extension ByteBufferAllocator {
    /// Buffers whose memory is wiped when it is freed or outgrown.
    package static let wiping = ByteBufferAllocator(
        allocate: { WipingMemory.allocate($0) },
        reallocate: { pointer, _, size in WipingMemory.reallocate(pointer, size) },
        deallocate: { WipingMemory.free($0) },
        copy: { target, source, count in target.copyMemory(from: source, byteCount: count) }
    )
}

/// Sizes the read buffers of a connection: 4 KiB, and 64 KiB while a large body streams in.
///
/// It offers no next size, which keeps NIO from pooling: a pooled buffer would keep the last request in clear while the
/// connection idles.
struct ReceiveBufferSizing: RecvByteBufferAllocator {
    static let usualBytes = 4096
    static let streamingBytes = 65_536
    private var isStreaming = false

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
        allocator.buffer(capacity: (isStreaming ? Self.streamingBytes : Self.usualBytes) - WipingMemory.headerBytes)
    }

    mutating func record(actualReadBytes: Int) -> Bool {
        isStreaming = actualReadBytes >= Self.usualBytes - WipingMemory.headerBytes
        return isStreaming
    }
}
