import CoffreClient
import CoffreWire

/// Reads each path once, however many of its fields are wanted: two fields of a dynamic secret belong together.
struct SecretFetcher {
    private let client: CoffreClient
    private var answers: [(path: String, data: JSONValue)] = []
    /// Leases of what was handed out so far, also when a later read fails.
    private(set) var leases: [Lease] = []

    init(_ client: CoffreClient) {
        self.client = client
    }

    mutating func value(_ reference: SecretReference) async throws -> String {
        let data = try await data(reference.path)
        let field = escapedForTerminal(reference.field)
        let path = escapedForTerminal(reference.path)
        guard let value = data[reference.field] else {
            throw Failure("\(path) has no field \(field)", "\(path) n'a pas de champ \(field)", .notFound)
        }
        let text = value.string ?? String(decoding: value.encoded(), as: UTF8.self)
        guard !text.utf8.contains(0) else {
            throw Failure(
                "\(path)#\(field) contains a zero byte, which no variable can hold",
                "\(path)#\(field) contient un octet nul, impossible dans une variable"
            )
        }
        return text
    }

    private mutating func data(_ path: String) async throws -> JSONValue {
        if let known = answers.first(where: { $0.path.utf8.elementsEqual(path.utf8) }) { return known.data }
        let answer: Answer
        let data: JSONValue?
        if let secret = try await kvPath(path) {
            answer = try await client.kvGet(secret)
            data = answer.data?["data"]
        } else {
            answer = try await client.read(path)
            data = answer.data
        }
        if let lease = answer.lease { leases.append(lease) }
        guard let data else {
            throw Failure("\(escapedForTerminal(path)) has no data", "\(escapedForTerminal(path)) est vide", .notFound)
        }
        answers.append((path, data))
        return data
    }

    /// The place of a static secret, nil for any other engine. Without a right to know, the plain read decides.
    private func kvPath(_ path: String) async throws -> CoffreClient.KVPath? {
        do {
            guard try await client.mount(serving: path).isKV2 else { return nil }
            return try await client.kvPath(path)
        } catch {
            guard error.code == .denied || error.code == .notFound else { throw error }
            return nil
        }
    }
}
