internal import CoffreAudit
internal import CoffreCatalogue
internal import CoffreCrypto
internal import CoffreWire

/// Values that need a call of their own after a consent, such as which site or organisation its token is for.
extension Vault {
    /// Asks the provider for them, once per grant and again while they are not known. A failure costs no grant.
    /// - Returns: what somebody has to know or do about it; nil for nothing.
    func askForValues(_ id: String, again: Bool = false) async -> String? {
        guard let state = unsealed, let grant = state.grants[id], grant.life.isUsable,
            let connection = state.connections[id], let oauth = Catalogue.shared[connection.type]?.oauth
        else { return nil }
        let calls = oauth.learns.filter { $0.source == .call }
        guard !calls.isEmpty, again || calls.contains(where: { grant.choices[$0.name] == nil }) else {
            return doubt(about: grant, connection)
        }
        do {
            try await inGrantTurn(id) { _ in
                for call in calls where again || unsealed?.grants[id]?.choices[call.name] == nil {
                    try await askForValue(call, id)
                }
            }
        } catch {
            return
                "what the token is for could not be asked yet, test the connection: \(VaultError(mapping: error).message)"
        }
        return unsealed?.grants[id].flatMap { doubt(about: $0, connection) }
    }

    private func askForValue(_ call: ConnectorOAuth.Learnt, _ id: String) async throws {
        guard let state = unsealed, let connection = state.connections[id], let grant = state.grants[id],
            let token = try barrier.get(OAuthKey.access(id))?.value
        else { return }
        let provider = try OAuthProvider(connection, grant)
        let job = try provider.valueJob(call)
        var secrets = try clientSecrets(job, connection, provider)
        secrets[.grant] = token
        let errand = OAuthErrand(.probe, id, grant.life.generation)
        let result = try await runOAuth(job, secrets: secrets, about: errand.encoded)
        try await finishOAuth(result.id)
        if case .failed(let problem) = result.reply.outcome { throw VaultError(.upstream, problem.sentence) }
        let choices = OAuthGrant.Choice.list(result.reply)
        try await inConnectionTurn { state in
            guard let old = state.grants[id], old.life.generation == grant.life.generation,
                let connection = state.connections[id]
            else { return }
            var changed = old
            changed.choices[call.name] = choices
            changed.choose(for: connection)
            _ = try await commit(storing(changed, replacing: old))
            stored(changed, state)
        }
    }

    /// What is not decided.
    func doubt(about grant: OAuthGrant, _ connection: Connection) -> String? {
        for call in Catalogue.shared[connection.type]?.oauth?.learns ?? [] where call.source == .call {
            guard let choices = grant.choices[call.name], grant.learnt[call.name] == nil else { continue }
            guard !choices.isEmpty else { return "the token is for nothing: the provider lists no \(call.name)" }
            let names = choices.prefix(8).map { $0.title ?? $0.value }.joined(separator: ", ")
            return "the token is for several: set the field \(call.field ?? call.name) to one of \(names)"
        }
        return nil
    }
}

extension OAuthGrant {
    /// One of the values that a call has listed.
    struct Choice: Sendable, Equatable {
        let value: String
        /// What people know it by.
        let title: String?

        static let (valueName, titleName) = ("value", "title")

        /// At most 32, as many as a reply holds with their names.
        static func list(_ reply: OAuthReply) -> [Choice] {
            let titles = reply.learnt.filter { $0.name == titleName }
            return reply.learnt.filter { $0.name == valueName }.map { item in
                Choice(value: item.value, title: titles.first { $0.index == item.index }?.value)
            }
        }

        var json: JSONValue { ["title": title.map { .string($0) } ?? .null, "value": .string(value)] }

        init(value: String, title: String?) {
            self.value = value
            self.title = title
        }

        init?(_ json: JSONValue) {
            guard let value = json["value"]?.string else { return nil }
            self.init(value: value, title: json["title"]?.string)
        }

        /// Whether a field means it: by its value, or by its name, an address with or without `https://`.
        func isMeant(by text: String) -> Bool {
            [value, title, title.map { String($0.trimmingPrefix("https://")) }].compactMap(\.self)
                .contains { $0.utf8.elementsEqual(text.utf8) }
        }
    }

    /// Takes what the connection's fields choose of what calls have listed: the only one, where nothing is chosen.
    mutating func choose(for connection: Connection) {
        for call in Catalogue.shared[connection.type]?.oauth?.learns ?? [] where call.source == .call {
            guard let choices = choices[call.name] else { continue }
            if let wanted = call.field.flatMap({ connection.fields[$0] }), !wanted.isEmpty {
                learnt[call.name] = choices.first { $0.isMeant(by: wanted) }?.value
            } else {
                learnt[call.name] = choices.count == 1 ? choices[0].value : nil
            }
        }
    }
}
