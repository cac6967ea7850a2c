import CoffreWire

/// The key/value engine, version 2.
extension CoffreClient {
    /// A secret's place: the mount and the path below it.
    public struct KVPath: Sendable, Equatable {
        /// Without slash at the end.
        public let mount: String
        /// Below the mount, without slash at either end; empty for the mount itself.
        public let path: String

        /// A place below a mount.
        public init(mount: String, path: String) {
            self.mount = RequestPath.trimmed(mount)
            self.path = RequestPath.trimmed(path)
        }

        /// The route of one family (`data`, `metadata`, `delete`, `undelete`, `destroy`).
        package func route(_ family: String) -> String {
            path.isEmpty ? "\(mount)/\(family)" : "\(mount)/\(family)/\(path)"
        }
    }

    /// What serves a path.
    public struct Mount: Sendable, Equatable {
        /// Without slash at the end.
        public let path: String
        /// `kv`, `database`…
        public let type: String
        /// `options.version`, for `kv`.
        public let version: String?

        /// Whether it is the key/value engine, version 2.
        public var isKV2: Bool { type == "kv" && version == "2" }
    }

    /// `sys/internal/ui/mounts/PATH`: what serves `path`.
    /// - Throws: ``ClientError``; `.denied` when nothing does, or the caller has no right below it.
    public func mount(serving path: String) async throws(ClientError) -> Mount {
        let data = try await read("sys/internal/ui/mounts/\(RequestPath.trimmed(path))").requiredData()
        guard let mount = data["path"]?.string, let type = data["type"]?.string else {
            throw ClientError(.malformedAnswer, "the answer does not describe a mount")
        }
        return Mount(path: RequestPath.trimmed(mount), type: type, version: data["options"]?["version"]?.string)
    }

    /// Splits a whole path, `secret/app/db`, at its mount.
    /// - Throws: ``ClientError``; `.invalidInput` when the mount is not key/value version 2.
    public func kvPath(_ whole: String) async throws(ClientError) -> KVPath {
        let whole = RequestPath.trimmed(whole)
        let mount = try await mount(serving: whole)
        guard mount.isKV2 else {
            throw ClientError(
                .invalidInput,
                "\(mount.path)/ is not a key/value engine of version 2: use read, write, list or delete"
            )
        }
        let length = mount.path.utf8.count
        guard whole.utf8.starts(with: mount.path.utf8), whole.utf8.dropFirst(length).first.map({ $0 == 0x2f }) ?? true
        else { throw ClientError(.malformedAnswer, "the mount in the answer does not serve the path asked for") }
        let rest = String(Substring(whole.utf8.dropFirst(length)))
        return KVPath(mount: mount.path, path: rest)
    }

    /// The newest version of a secret, or `version`.
    /// - Returns: `data.data` and `data.metadata`.
    /// - Throws: ``ClientError``; `.notFound` when absent, deleted or destroyed; the text says which.
    public func kvGet(_ place: KVPath, version: Int? = nil) async throws(ClientError) -> Answer {
        let query = version.map { [(name: "version", value: String($0))] } ?? []
        let raw = try await exchange(.get, place.route("data"), query: query)
        if (200..<300).contains(raw.status) { return try Answer(raw) }
        if raw.status == 404, let state = Self.deletedState(raw) { throw state }
        throw Self.failure(raw)
    }

    /// Writes a new version.
    /// - Parameters:
    ///   - place: the secret.
    ///   - data: a JSON object as text; its bytes are stored as they are.
    ///   - cas: the version that must be the newest one now; 0 for "must not exist".
    public func kvPut(_ place: KVPath, data: [UInt8], cas: Int? = nil) async throws(ClientError) -> Answer {
        try await send(.put, place.route("data"), body: Self.kvBody(data, cas))
    }

    /// Changes the named members alone (RFC 7396); `null` removes one.
    public func kvPatch(_ place: KVPath, data: [UInt8], cas: Int? = nil) async throws(ClientError) -> Answer {
        try await send(.patch, place.route("data"), body: Self.kvBody(data, cas))
    }

    /// Names below `place`.
    public func kvList(_ place: KVPath) async throws(ClientError) -> Answer {
        try await list(place.route("metadata"))
    }

    /// What is known of a secret and its versions, without values.
    public func kvMetadata(_ place: KVPath) async throws(ClientError) -> Answer {
        try await read(place.route("metadata"))
    }

    /// Deletes the newest version, or `versions`; ``kvUndelete(_:versions:)`` brings them back.
    public func kvDelete(_ place: KVPath, versions: [Int] = []) async throws(ClientError) {
        if versions.isEmpty {
            _ = try await delete(place.route("data"))
        } else {
            try await kvVersions("delete", place, versions)
        }
    }

    /// Brings deleted versions back.
    public func kvUndelete(_ place: KVPath, versions: [Int]) async throws(ClientError) {
        try await kvVersions("undelete", place, versions)
    }

    /// Erases versions for good.
    public func kvDestroy(_ place: KVPath, versions: [Int]) async throws(ClientError) {
        try await kvVersions("destroy", place, versions)
    }

    /// Erases a secret with all versions and metadata.
    public func kvDeleteMetadata(_ place: KVPath) async throws(ClientError) {
        _ = try await delete(place.route("metadata"))
    }

    private func kvVersions(_ route: String, _ place: KVPath, _ versions: [Int]) async throws(ClientError) {
        let numbers = JSONValue.array(versions.map { .integer($0) })
        _ = try await send(.put, place.route(route), json: .object(["versions": numbers]))
    }

    private static func kvBody(_ data: [UInt8], _ cas: Int?) throws(ClientError) -> [UInt8] {
        let isObject = (try? JSONValue(parsing: data))?.members != nil
        guard isObject else { throw ClientError(.invalidInput, "the data of a secret must be a JSON object") }
        let options = cas.map { "{\"cas\":\($0)}" } ?? "{}"
        return Array("{\"options\":\(options),\"data\":".utf8) + data + Array("}".utf8)
    }

    /// A 404 with metadata means a version that was deleted or destroyed.
    private static func deletedState(_ raw: RawAnswer) -> ClientError? {
        guard let metadata = (try? JSONValue(parsing: raw.body))?["data"]?["metadata"],
            let version = metadata["version"]?.integer
        else { return nil }
        let word = metadata["destroyed"]?.bool == true ? "destroyed" : "deleted"
        return ClientError(status: 404, errors: ["version \(version) is \(word)"])
    }
}
