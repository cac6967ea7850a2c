internal import CSodium

/// Initialises libsodium once. Touch it before any other call into the library.
enum Sodium {
    /// True when the library is ready; sodium_init(3) fails only when the system has no randomness.
    static let isReady: Bool = sodium_init() >= 0

    static func require() {
        precondition(isReady, "libsodium could not start: the system gives no randomness")
    }
}
