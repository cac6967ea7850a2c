internal import CoffreCrypto

/// Where tokens lie in the barrier.
extension BarrierKey {
    static func token(_ hash: Digest) -> BarrierKey {
        BarrierKey(namespace: .token, parent: Array("hash".utf8), name: hash.bytes)
    }

    static func tokenAccessor(_ accessor: String) -> BarrierKey {
        BarrierKey(namespace: .token, parent: Array("accessor".utf8), name: Array(accessor.utf8))
    }

    static func childrenParent(of hash: Digest) -> [UInt8] { Array("child/".utf8) + hash.bytes }

    static func tokenChild(_ child: Digest, of parent: Digest) -> BarrierKey {
        BarrierKey(namespace: .token, parent: childrenParent(of: parent), name: child.bytes)
    }

    static func expiry(of token: Digest, at time: Timestamp) -> BarrierKey {
        LeaseSchedule.Item.token(token).key(at: time)
    }
}

extension BarrierMutation {
    static func expiry(of token: Digest, at time: Timestamp) -> BarrierMutation {
        .put(LeaseSchedule.Item.token(token).key(at: time), LeaseSchedule.marker, expect: .any)
    }
}

/// Which tokens were made at which path, so that all of a path can be revoked.
extension BarrierKey {
    static let issuingPaths = Array("issuing".utf8)

    static func issuingPath(_ path: String) -> BarrierKey {
        BarrierKey(namespace: .token, parent: issuingPaths, name: Array(path.utf8))
    }

    static func issuedParent(_ path: [UInt8]) -> [UInt8] { Array("issued/".utf8) + path }

    static func issuedToken(_ hash: Digest, path: String) -> BarrierKey {
        BarrierKey(namespace: .token, parent: issuedParent(Array(path.utf8)), name: hash.bytes)
    }

    static let accessors = Array("accessor".utf8)
}
