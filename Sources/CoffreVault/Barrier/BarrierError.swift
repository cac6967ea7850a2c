package import CoffreStorage
internal import CoffreWire

/// What the barrier can refuse. Carries no name and no value.
package struct BarrierError: Error, Sendable, CustomStringConvertible {
    package enum Code: String, Sendable {
        /// No key is here.
        case sealed
        /// The key does not open this vault.
        case wrongKey
        /// An expectation does not hold.
        case conflict
        /// A row does not open, or does not parse: damaged, moved, or from another vault.
        case corrupt
        /// The engine below refused.
        case storage
    }

    package let code: Code
    package let message: String
    package let cause: StorageError?

    package init(_ code: Code, _ message: String, cause: StorageError? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    static let sealed = BarrierError(.sealed, "Vault is sealed")

    init(_ error: StorageError) {
        if let inner = error.cause as? BarrierError {
            self = inner
        } else {
            self.init(error.code == .conflict ? .conflict : .storage, error.message, cause: error)
        }
    }

    package var description: String { message }
}

extension VaultError {
    init(barrier error: BarrierError) {
        switch error.code {
        case .sealed: self = .sealed
        case .wrongKey: self = VaultError(.badRequest, error.message, cause: error)
        case .conflict:
            self = VaultError(.badRequest, "the entry was changed at the same time: try again", cause: error)
        case .corrupt: self = VaultError(.storageCorrupt, error.message, cause: error)
        case .storage: self = VaultError(.storageUnavailable, error.message, cause: error)
        }
    }
}
