internal import CoffreAudit
internal import CoffreCrypto
internal import CoffreStorage
internal import CoffreWire

extension BarrierKey {
    /// When the current term was made.
    static let termInstalled = BarrierKey(namespace: .system, parent: [], name: Array("term-installed".utf8))
    static let rotationConfiguration = BarrierKey(namespace: .system, parent: [], name: Array("rotate-config".utf8))
}

/// When a new barrier key is made by itself.
struct KeyRotationSettings: Sendable {
    /// Seconds; 0 means by the number of encryptions alone.
    var interval: Int64 = 0
    var maximumOperations = Int64(Barrier.encryptionsPerTerm)
    var isEnabled = true

    var json: JSONValue {
        [
            "enabled": .bool(isEnabled), "interval": .integer(interval), "max_operations": .integer(maximumOperations),
        ]
    }

    mutating func apply(_ body: JSONView) throws(VaultError) {
        if let value = body["interval"] {
            guard let seconds = GoDuration.seconds(value), seconds == 0 || seconds >= 86_400 else {
                throw .badRequest("interval is 0, or a duration of at least 24h")
            }
            interval = seconds
        }
        if let value = body["max_operations"] {
            guard let number = value.weakInteger, (1_000_000...Int64(Barrier.encryptionsPerTerm)).contains(number)
            else {
                throw .badRequest("max_operations is a number from 1000000 to \(Barrier.encryptionsPerTerm)")
            }
            maximumOperations = number
        }
        if let flag = body["enabled"]?.weakBool { isEnabled = flag }
    }
}

extension Vault {
    /// `sys/key-status`, `sys/rotate[/keyring]`, `sys/rotate[/keyring]/config`.
    func keyEndpoint(_ context: RequestContext, _ rest: String) -> Endpoint? {
        let what = AuditWhat(path: "sys/" + rest)
        switch (rest, context.verb) {
        case ("key-status", .get):
            return .read(.sysRead, what, .capability(.read)) { vault, _ in
                guard let use = vault.barrier.termUse else { throw VaultError.sealed }
                let installed = try vault.termInstalled()
                return Effect(
                    .doubled([
                        .init("encryptions", .integer(use.encryptions)),
                        .init("install_time", .string(installed.rfc3339)), .init("term", .integer(use.term)),
                    ])
                )
            }
        case ("rotate", .write), ("rotate/keyring", .write):
            return .change(.barrierRotate, what, .sudo(.update)) { vault, _ in
                try await vault.rotateBarrier()
                return Effect(.noContent, generation: vault.barrier.generation)
            }
        case ("rotate/config", .get), ("rotate/keyring/config", .get):
            return .read(.sysRead, what, .capability(.read)) { vault, _ in
                Effect(.data(try vault.rotationSettings().json))
            }
        case ("rotate/config", .write), ("rotate/keyring/config", .write):
            return .change(.sysWrite, what, .sudo(.update)) { vault, context in
                var settings = try vault.rotationSettings()
                try vault.withBody(context) { body in
                    if let body { try settings.apply(body) }
                }
                let value = SharedSecret(copying: settings.json.encoded())
                let generation = try await vault.commit([.put(.rotationConfiguration, value, expect: .any)])
                return Effect(.noContent, generation: generation)
            }
        case ("key-status", _), ("rotate", _), ("rotate/keyring", _), ("rotate/config", _),
            ("rotate/keyring/config", _):
            return .unsupported(what)
        default: return nil
        }
    }

    private func termInstalled() throws -> Timestamp {
        let text = try barrier.get(.termInstalled)?.value.withBytes { String(decoding: $0, as: UTF8.self) }
        return Timestamp(nanoseconds: text.flatMap { Int64($0) } ?? 0)
    }

    private func rotationSettings() throws -> KeyRotationSettings {
        var settings = KeyRotationSettings()
        if let row = try barrier.get(.rotationConfiguration) {
            try row.value.withBytes { try settings.apply(try JSONView($0)) }
        }
        return settings
    }

    static func termMark(at now: Timestamp) -> BarrierMutation {
        .put(.termInstalled, SharedSecret(copying: Array(String(now.nanoseconds).utf8)), expect: .any)
    }

    /// A new barrier key; old rows move to it in the background.
    func rotateBarrier() async throws {
        try await barrier.rotate()
        _ = try await commit([Self.termMark(at: clock.now())])
    }

    /// Whether the settings ask for a new key. Looked at once a minute.
    func isRotationDue(_ now: Timestamp) -> Bool {
        guard let settings = try? rotationSettings(), settings.isEnabled, let use = barrier.termUse else {
            return false
        }
        if use.encryptions >= UInt64(settings.maximumOperations) { return true }
        guard settings.interval > 0, let installed = try? termInstalled() else { return false }
        return now >= installed.adding(seconds: settings.interval)
    }
}
