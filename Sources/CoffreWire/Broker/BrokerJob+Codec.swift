extension BrokerJob {
    enum Tag {
        static let kind: UInt8 = 1
        static let host: UInt8 = 2
        static let port: UInt8 = 3
        static let database: UInt8 = 4
        static let user: UInt8 = 5
        static let tls: UInt8 = 6
        static let minimumTLS: UInt8 = 7
        static let rootCertificate: UInt8 = 8
        static let login: UInt8 = 9
        static let statements: UInt8 = 10
        static let validUntil: UInt8 = 11
        static let publicKey: UInt8 = 12
        static let connectTimeout: UInt8 = 13
        static let statementTimeout: UInt8 = 14
        static let adminPassword: UInt8 = 15
        static let loginPassword: UInt8 = 16
        static let task: UInt8 = 17
    }

    /// Length of the encoded body, in bytes.
    /// - Parameters:
    ///   - adminPasswordBytes: length of the administrator's password.
    ///   - loginPasswordBytes: length of the new login's password, nil when none goes along.
    public func encodedSize(adminPasswordBytes: Int, loginPasswordBytes: Int?) -> Int {
        var size = 5 + 1  // kind
        size += 5 + host.utf8.count + 5 + 2 + 5 + database.utf8.count + 5 + user.utf8.count
        size += 5 + 1 + 5 + 1  // tls, minimumTLS
        size += (rootCertificate.map { 5 + $0.count } ?? 0) + (login.map { 5 + $0.utf8.count } ?? 0)
        size += 5 + encodedStatementBytes + (validUntil == nil ? 0 : 5 + 8)
        size += 5 + publicKey.count + 5 + 4 + 5 + 4
        size += task.map { 5 + $0.encode().count } ?? 0
        return size + 5 + adminPasswordBytes + (loginPasswordBytes.map { 5 + $0 } ?? 0)
    }

    /// Writes the body of a job frame.
    /// - Parameters:
    ///   - adminPassword: the administrator's password, at most 4096 bytes, without NUL.
    ///   - loginPassword: the new login's password: required for `.create`, `.setPassword` and `.provision`, refused
    ///     otherwise.
    ///   - target: at least ``encodedSize(adminPasswordBytes:loginPasswordBytes:)`` bytes; the caller wipes it.
    /// - Returns: the number of bytes written.
    /// - Throws: ``BrokerWireError`` as ``validate()`` does, or `.tooLong` when the target is too small.
    @discardableResult
    public func encode(
        adminPassword: UnsafeRawBufferPointer,
        loginPassword: UnsafeRawBufferPointer?,
        into target: UnsafeMutableRawBufferPointer
    ) throws(BrokerWireError) -> Int {
        try validate()
        try Self.check(adminPassword: adminPassword, loginPassword: loginPassword, kind: kind)
        let size = encodedSize(adminPasswordBytes: adminPassword.count, loginPasswordBytes: loginPassword?.count)
        guard size <= target.count, size <= BrokerFrame.maximumBodyBytes else {
            throw BrokerWireError(.tooLong, "the job does not fit its buffer or frame")
        }
        var writer = BrokerFieldWriter(target)
        writer.append(Tag.kind, [kind.rawValue])
        writer.append(Tag.host, host)
        writer.append(Tag.port, port.bigEndianBytes)
        writer.append(Tag.database, database)
        writer.append(Tag.user, user)
        writer.append(Tag.tls, [tls.rawValue])
        writer.append(Tag.minimumTLS, [minimumTLS.rawValue])
        if let rootCertificate { writer.append(Tag.rootCertificate, rootCertificate) }
        if let login { writer.append(Tag.login, login) }
        writer.append(
            Tag.statements,
            statements.flatMap { UInt32($0.utf8.count).bigEndianBytes + Array($0.utf8) }
        )
        if let validUntil { writer.append(Tag.validUntil, validUntil.bigEndianBytes) }
        writer.append(Tag.publicKey, publicKey)
        writer.append(Tag.connectTimeout, connectTimeoutSeconds.bigEndianBytes)
        writer.append(Tag.statementTimeout, statementTimeoutSeconds.bigEndianBytes)
        writer.append(Tag.adminPassword, adminPassword)
        if let loginPassword { writer.append(Tag.loginPassword, loginPassword) }
        if let task { writer.append(Tag.task, task.encode()) }
        return writer.count
    }

    static func check(
        adminPassword: UnsafeRawBufferPointer,
        loginPassword: UnsafeRawBufferPointer?,
        kind: Kind
    ) throws(BrokerWireError) {
        guard (loginPassword != nil) == kind.hasLoginPassword else {
            throw BrokerWireError(.invalidField, "a creation carries the new login's password, other jobs none")
        }
        guard adminPassword.count <= Limit.password, loginPassword?.count ?? 0 <= Limit.password else {
            throw BrokerWireError(.tooLong, "a password is at most 4096 bytes")
        }
        guard !adminPassword.contains(0), loginPassword?.contains(0) != true, loginPassword?.isEmpty != true else {
            throw BrokerWireError(.invalidField, "a password holds a NUL, or the new login's is empty")
        }
    }
}

/// A decoded job. Its secrets are parts of the buffer that it was decoded from: they live as long as that does.
public struct BrokerJobView {
    /// Everything but the secrets.
    public let job: BrokerJob
    /// The administrator's password.
    public let adminPassword: UnsafeRawBufferPointer
    /// The new login's password, for `.create`, `.setPassword` and `.provision`.
    public let loginPassword: UnsafeRawBufferPointer?

    /// Reads the body of a job frame. What decodes encodes to the same bytes again.
    /// - Throws: ``BrokerWireError`` on anything that
    ///   ``BrokerJob/encode(adminPassword:loginPassword:into:)`` does not write.
    public init(decoding body: UnsafeRawBufferPointer) throws(BrokerWireError) {
        typealias Tag = BrokerJob.Tag
        typealias Limit = BrokerJob.Limit
        var reader = BrokerFieldReader(body)
        guard let kind = BrokerJob.Kind(rawValue: UInt8(try reader.number(Tag.kind, bytes: 1))) else {
            throw BrokerWireError(.invalidField, "unknown kind of job")
        }
        let host = try reader.text(Tag.host, atMost: Limit.host)
        let port = UInt16(try reader.number(Tag.port, bytes: 2))
        let database = try reader.text(Tag.database, atMost: Limit.identifier)
        let user = try reader.text(Tag.user, atMost: Limit.identifier)
        guard let tls = BrokerJob.TLS(rawValue: UInt8(try reader.number(Tag.tls, bytes: 1))),
            let minimumTLS = BrokerJob.MinimumTLS(rawValue: UInt8(try reader.number(Tag.minimumTLS, bytes: 1)))
        else { throw BrokerWireError(.invalidField, "unknown protection of the connection") }
        let certificate = try reader.optional(Tag.rootCertificate, atMost: Limit.certificate)
        let login = try reader.optionalText(Tag.login, atMost: Limit.identifier)
        let statements = try Self.statements(reader.required(Tag.statements, atMost: Limit.statementsTotal))
        let validUntil = try reader.optionalNumber(Tag.validUntil, bytes: 8)
        let publicKey = try reader.required(Tag.publicKey, atMost: 32)
        let connectTimeout = UInt32(try reader.number(Tag.connectTimeout, bytes: 4))
        let statementTimeout = UInt32(try reader.number(Tag.statementTimeout, bytes: 4))
        adminPassword = try reader.required(Tag.adminPassword, atMost: Limit.password)
        loginPassword = try reader.optional(Tag.loginPassword, atMost: Limit.password)
        var task: DatabaseTask?
        if let field = try reader.optional(Tag.task, atMost: Limit.task) {
            task = try DatabaseTask(decoding: field, kind: kind)
        }
        try reader.finish()
        job = BrokerJob(
            kind: kind,
            host: host,
            port: port,
            database: database,
            user: user,
            tls: tls,
            minimumTLS: minimumTLS,
            rootCertificate: certificate.map { Array($0) },
            login: login,
            statements: statements,
            validUntil: validUntil.map { Int64(bitPattern: $0) },
            task: task,
            publicKey: Array(publicKey),
            connectTimeoutSeconds: connectTimeout,
            statementTimeoutSeconds: statementTimeout
        )
        try job.validate()
        try BrokerJob.check(adminPassword: adminPassword, loginPassword: loginPassword, kind: kind)
    }

    private static func statements(_ field: UnsafeRawBufferPointer) throws(BrokerWireError) -> [String] {
        var statements: [String] = []
        var offset = 0
        while offset < field.count {
            guard field.count - offset >= 4 else { throw BrokerWireError(.wrongLength, "the statements are cut off") }
            let length = Int(field.bigEndian32(at: offset))
            offset += 4
            guard length <= field.count - offset, statements.count < BrokerJob.Limit.statements else {
                throw BrokerWireError(.wrongLength, "the statements are cut off or too many")
            }
            statements.append(
                try BrokerText.decode(UnsafeRawBufferPointer(rebasing: field[offset..<(offset + length)]))
            )
            offset += length
        }
        return statements
    }
}

@available(*, unavailable)
extension BrokerJobView: Sendable {}
