package import CoffreAudit
package import CoffreCrypto
internal import CoffreWire
internal import Glibc

/// Bytes of an answer, in order: clear pieces and secret ones. The writer wipes what it copied of the latter.
package struct ResponseBody: Sendable {
    package enum Piece: Sendable {
        case clear([UInt8])
        case secret(SharedSecret)
        /// Bytes of a file, read while they are sent.
        case file(BodyFile)
    }

    package private(set) var pieces: [Piece] = []
    /// Total length in bytes.
    package private(set) var count = 0

    package init() {}

    package init(_ bytes: [UInt8]) { append(bytes) }

    package mutating func append(_ bytes: [UInt8]) {
        guard !bytes.isEmpty else { return }
        pieces.append(.clear(bytes))
        count += bytes.count
    }

    package mutating func append(_ secret: SharedSecret) {
        guard secret.count > 0 else { return }
        pieces.append(.secret(secret))
        count += secret.count
    }

    package mutating func append(_ file: BodyFile) {
        pieces.append(.file(file))
        count += file.count
    }

    package mutating func append(_ other: ResponseBody) {
        pieces.append(contentsOf: other.pieces)
        count += other.count
    }
}

/// An answer that may be written to the socket.
///
/// The release rule as a type: there is no way to make one without a receipt, except for the three status routes and
/// for the sentence that says the log cannot be written.
package struct ReleasedAnswer: Sendable {
    /// Why these bytes may leave.
    package enum Proof: Sendable {
        /// The record is durable.
        case recorded(AuditReceipt)
        /// `sys/health`, `sys/seal-status`, `sys/leader`.
        case statusRoute
        /// No record could be written; the body is a fixed error, or what the log says of its disk, and nothing else.
        case logUnavailable
    }

    package struct Header: Sendable {
        package let name: String
        package let value: String
    }

    package let status: Int
    package let headers: [Header]
    package let body: ResponseBody
    package let proof: Proof

    private init(status: Int, headers: [Header], body: ResponseBody, proof: Proof) {
        self.status = status
        self.headers = headers
        self.body = body
        self.proof = proof
    }

    /// The answer of `draft`, released by the receipt of its record.
    init(_ draft: AnswerDraft, receipt: AuditReceipt) {
        self.init(status: draft.status, headers: draft.headers, body: draft.body, proof: .recorded(receipt))
    }

    /// The public state of one of the three status routes.
    init(statusRoute status: Int, headers: [Header] = [], body: ResponseBody) {
        self.init(status: status, headers: headers, body: body, proof: .statusRoute)
    }

    /// What a caller hears when the log cannot be written: nothing else leaves.
    static let logUnavailable = ReleasedAnswer(
        status: 500,
        headers: [],
        body: ResponseBody(Array(#"{"errors":["the audit log cannot be written, so nothing is answered"]}"#.utf8)),
        proof: .logUnavailable
    )

    /// The same with the reason, when it is one that callers may hear.
    static func logUnavailable(_ error: any Error) -> ReleasedAnswer {
        guard let sentence = (error as? AuditError)?.sentenceForCallers else { return logUnavailable }
        let body = JSONValue.object(["errors": .strings([sentence])])
        return ReleasedAnswer(
            status: 500,
            headers: [],
            body: ResponseBody(body.encoded()),
            proof: .logUnavailable
        )
    }
}

/// An answer that waits for its record. It cannot be written to a socket.
package struct AnswerDraft: Sendable {
    package var status: Int
    package var headers: [ReleasedAnswer.Header] = []
    package var body: ResponseBody

    package init(status: Int, body: ResponseBody) {
        self.status = status
        self.body = body
    }
}

/// A file that is part of an answer. It is closed when the answer has been sent, or its connection has gone.
package final class BodyFile: Sendable {
    /// Length in bytes.
    package let count: Int
    private let descriptor: Int32
    private let owner: any Sendable

    /// - Parameters:
    ///   - descriptor: open for reading, as long as `owner` lives.
    ///   - count: how many bytes of it are sent.
    package init(descriptor: Int32, count: Int, owner: any Sendable) {
        self.descriptor = descriptor
        self.count = count
        self.owner = owner
    }

    /// Reads at `offset` (pread(2)).
    /// - Returns: how many bytes; nil when the file ends too early or cannot be read.
    package func read(at offset: Int, into target: UnsafeMutableRawBufferPointer) -> Int? {
        let wanted = min(target.count, count - offset)
        while true {
            let read = withExtendedLifetime(owner) { pread(descriptor, target.baseAddress, wanted, off_t(offset)) }
            if read < 0, errno == EINTR { continue }
            return read > 0 ? read : nil
        }
    }
}
