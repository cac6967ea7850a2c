import Synchronization

/// How full the disk is.
extension MemoryDisk {
    var free: Int { state.withLock { $0.free } }

    /// Fills the disk with somebody else's bytes until `free` are left.
    func fill(leaving free: Int) { state.withLock { $0.foreign = max(0, $0.foreign + $0.free - free) } }

    func change(_ body: (inout State) -> Void) { state.withLock { body(&$0) } }

    /// What is set aside for a file beyond its end.
    func ahead(of path: String) -> Int {
        state.withLock { state in
            guard let content = state.names[path].flatMap({ state.contents[$0] }) else { return 0 }
            return max(0, content.allocated - content.bytes.count)
        }
    }
}
