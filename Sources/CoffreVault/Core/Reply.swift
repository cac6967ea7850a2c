internal import CoffreCrypto
internal import CoffreWire

/// What an engine answers, before it becomes an HTTP body.
struct Reply: Sendable {
    enum Content: Sendable {
        /// The envelope of Vault clients, with `data`.
        case envelope(ResponseBody?)
        /// The envelope, with the members of `data` repeated at top level.
        case doubled([JSONValue.Member])
        /// The same for an object that holds secrets, already written.
        case doubledBody(ResponseBody)
        /// The envelope, with an `auth` block.
        case auth(ResponseBody)
        /// The envelope with `wrap_info` alone, made from a record and its token.
        case wrapped(ResponseBody)
        /// An object without envelope.
        case raw(ResponseBody)
        /// `{"errors": […]}`.
        case errors([String])
        /// 204.
        case none
    }

    var status: Int
    var content: Content
    var leaseID = ""
    var isRenewable = false
    /// Whole seconds.
    var leaseDuration: Int64 = 0
    var warnings: [String] = []
    /// Of a login, for the `wrap_info` that may hide it.
    var wrappedAccessor = ""
    var headers: [ReleasedAnswer.Header] = []

    private init(status: Int, content: Content) {
        self.status = status
        self.content = content
    }

    static let noContent = Reply(status: 204, content: .none)

    static func data(_ body: ResponseBody, status: Int = 200) -> Reply {
        Reply(status: status, content: .envelope(body))
    }

    static func data(_ value: JSONValue, status: Int = 200) -> Reply {
        Reply(status: status, content: .envelope(ResponseBody(value.encoded())))
    }

    static func doubled(_ members: [JSONValue.Member]) -> Reply { Reply(status: 200, content: .doubled(members)) }

    static func doubledBody(_ body: ResponseBody) -> Reply { Reply(status: 200, content: .doubledBody(body)) }

    static func auth(_ body: ResponseBody) -> Reply { Reply(status: 200, content: .auth(body)) }

    static func raw(_ body: ResponseBody, status: Int = 200) -> Reply { Reply(status: status, content: .raw(body)) }

    static func raw(_ value: JSONValue, status: Int = 200) -> Reply {
        Reply(status: status, content: .raw(ResponseBody(value.encoded())))
    }

    static func wrapped(_ record: WrapRecord, token: SharedSecret) -> Reply {
        var body = ResponseBody()
        body.append(text: #"{"token":"#)
        body.append(quotedSecret: token)
        var members: [JSONValue.Member] = [
            .init("accessor", .string(record.accessor)), .init("ttl", .integer(record.ttl)),
            .init("creation_time", .string(record.created.rfc3339)), .init("creation_path", .string(record.path)),
        ]
        if !record.wrappedAccessor.isEmpty {
            members.append(.init("wrapped_accessor", .string(record.wrappedAccessor)))
        }
        body.append([0x2c] + Array(JSONValue.object(members).encoded().dropFirst()))
        return Reply(status: 200, content: .wrapped(body))
    }

    /// Whether there is an answer to hide: no errors, no empty ones, no bare objects of the system.
    var isWrappable: Bool {
        guard status == 200 else { return false }
        switch content {
        case .envelope(let data): return data != nil || !leaseID.isEmpty
        case .doubled, .auth: return true
        case .wrapped, .raw, .doubledBody, .errors, .none: return false
        }
    }

    static func empty(status: Int = 200) -> Reply { Reply(status: status, content: .envelope(nil)) }

    /// A status without a body.
    static func bare(status: Int) -> Reply { Reply(status: status, content: .none) }

    static func failure(_ error: VaultError) -> Reply {
        Reply(status: error.code.status, content: .errors(error.message.isEmpty ? [] : [error.message]))
    }

    /// The HTTP body; `requestID` goes into the envelope.
    func draft(requestID: String) -> AnswerDraft {
        var status = status
        if case .none = content, !warnings.isEmpty { status = 200 }
        var body = ResponseBody()
        switch content {
        case .none where warnings.isEmpty: break
        case .none: appendEnvelope(to: &body, requestID: requestID, data: nil, auth: nil, extra: [])
        case .raw(let raw): body = raw
        case .errors(let errors):
            body.append(JSONValue.object(["errors": .strings(errors)]).encoded())
        case .envelope(let data): appendEnvelope(to: &body, requestID: requestID, data: data, auth: nil, extra: [])
        case .doubledBody(let data):
            appendEnvelope(to: &body, requestID: requestID, data: data, auth: nil, repeated: data, extra: [])
        case .auth(let auth): appendEnvelope(to: &body, requestID: requestID, data: nil, auth: auth, extra: [])
        case .wrapped(let info):
            appendEnvelope(to: &body, requestID: requestID, data: nil, auth: nil, wrap: info, extra: [])
        case .doubled(let members):
            let data = ResponseBody(JSONValue.object(members).encoded())
            appendEnvelope(to: &body, requestID: requestID, data: data, auth: nil, extra: members)
        }
        var draft = AnswerDraft(status: status, body: body)
        draft.headers = headers
        return draft
    }

    private func appendEnvelope(
        to body: inout ResponseBody,
        requestID: String,
        data: ResponseBody?,
        auth: ResponseBody?,
        wrap: ResponseBody? = nil,
        repeated: ResponseBody? = nil,
        extra: [JSONValue.Member]
    ) {
        var head = Array(#"{"request_id":""#.utf8)
        head.reserveCapacity(160)
        head.append(contentsOf: requestID.utf8)
        head.append(contentsOf: #"","lease_id":"#.utf8)
        head.append(contentsOf: JSONValue.quoted(leaseID.utf8))
        head.append(contentsOf: (isRenewable ? #","renewable":true"# : #","renewable":false"#).utf8)
        head.append(contentsOf: #","lease_duration":"#.utf8)
        head.append(contentsOf: String(leaseDuration).utf8)
        head.append(contentsOf: #","data":"#.utf8)
        if data == nil { head.append(contentsOf: "null".utf8) }
        body.append(head)
        if let data { body.append(data) }
        body.append(Array((wrap == nil ? #","wrap_info":null"# : #","wrap_info":"#).utf8))
        if let wrap { body.append(wrap) }
        var tail = Array(#","warnings":"#.utf8)
        tail.append(contentsOf: warnings.isEmpty ? Array("null".utf8) : JSONValue.strings(warnings).encoded())
        tail.append(contentsOf: (auth == nil ? #","auth":null"# : #","auth":"#).utf8)
        body.append(tail)
        if let auth { body.append(auth) }
        var end: [UInt8] = []
        for member in extra {
            end.append(0x2c)
            end.append(contentsOf: JSONValue.quoted(member.key.utf8))
            end.append(0x3a)
            member.value.encode(into: &end)
        }
        guard let repeated else {
            end.append(0x7d)
            body.append(end)
            return
        }
        // The members of the object follow as they are: its first byte is the brace that opens it.
        body.append([0x2c])
        body.append(repeated.droppingFirst())
    }
}

extension ResponseBody {
    /// Appends clear text.
    mutating func append(text: String) { append(Array(text.utf8)) }

    /// Appends a secret as a JSON string. The secret is plain ASCII without quotes or backslashes (tokens, keys in hex).
    mutating func append(quotedSecret secret: SharedSecret) {
        append(text: "\"")
        append(secret)
        append(text: "\"")
    }
}

extension ResponseBody {
    /// Without its first byte, which lies in a clear piece.
    func droppingFirst() -> ResponseBody {
        var result = ResponseBody()
        for (index, piece) in pieces.enumerated() {
            if index == 0, case .clear(let bytes) = piece {
                result.append(Array(bytes.dropFirst()))
            } else {
                result.append(piece)
            }
        }
        return result
    }

    private mutating func append(_ piece: Piece) {
        switch piece {
        case .clear(let bytes): append(bytes)
        case .secret(let secret): append(secret)
        case .file(let file): append(file)
        }
    }

    /// All of it as one secret.
    func joined() -> SharedSecret {
        SharedSecret(
            SecretBytes(count: count) { target in
                var position = 0
                func copy(_ bytes: UnsafeRawBufferPointer) {
                    UnsafeMutableRawBufferPointer(rebasing: target[position..<position + bytes.count])
                        .copyMemory(from: bytes)
                    position += bytes.count
                }
                for piece in pieces {
                    switch piece {
                    case .clear(let bytes): bytes.withUnsafeBytes { copy($0) }
                    case .secret(let secret): secret.withBytes { copy($0) }
                    // Files are bare objects, which are never wrapped.
                    case .file: break
                    }
                }
            }
        )
    }
}
