import CoffreWire

/// Reading and writing any path.
extension CoffreClient {
    /// GET.
    /// - Throws: ``ClientError``; `.notFound` when there is nothing.
    public func read(
        _ path: String,
        query: [(name: String, value: String)] = []
    ) async throws(ClientError) -> Answer {
        try await send(.get, path, query: query)
    }

    /// The names below `path`; folders end in a slash.
    /// - Throws: ``ClientError``; `.notFound` when the folder is empty.
    public func list(_ path: String) async throws(ClientError) -> Answer {
        try await send(.get, path, query: [("list", "true")])
    }

    /// PUT of `body`, JSON text sent byte for byte; nil sends an empty body.
    public func write(_ path: String, _ body: [UInt8]?) async throws(ClientError) -> Answer {
        try await send(.put, path, body: body)
    }

    /// DELETE.
    public func delete(_ path: String) async throws(ClientError) -> Answer {
        try await send(.delete, path)
    }

    /// The strings of `data.keys` of a list.
    /// - Throws: ``ClientError`` with `.malformedAnswer`.
    public static func keys(of answer: Answer) throws(ClientError) -> [String] {
        guard let keys = answer.data?["keys"]?.array else {
            throw ClientError(.malformedAnswer, "the answer has no list of keys")
        }
        return keys.compactMap(\.string)
    }
}
