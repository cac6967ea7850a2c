/// How far a verification is.
package struct VerifyProgress: Sendable, Equatable {
    /// Records and segments verified so far.
    package let records: UInt64
    package let segments: Int
    /// All segments of the log.
    package let allSegments: Int
}

/// The outcome of a verification.
package struct VerificationReport: Sendable, Equatable {
    /// Something that is wrong.
    package struct Finding: Sendable, Equatable {
        /// Path of the segment or file, relative to the log's folder.
        package let file: String
        /// Sequence number of the first bad record, when one is to blame.
        package let record: UInt64?
        package let reason: String

        package init(file: String, record: UInt64?, reason: String) {
            self.file = file
            self.record = record
            self.reason = reason
        }
    }

    /// The log's name, from `log.vkey`.
    package var origin = ""
    /// Records that hang together, from genesis to the first finding.
    package var records: UInt64 = 0
    package var segments = 0
    package var sealedSegments = 0
    /// Segments whose records were deleted under the rules of the log, which a signed record proves for each.
    package var prunedSegments = 0
    package var prunedRecords: UInt64 = 0
    /// Path of the last segment when it is open: the records since the last seal are chained but not signed yet.
    package var openSegment: String?
    /// Records of the open segment.
    package var unsealedRecords: UInt64 = 0
    /// `_t` of the first and last record; empty in an empty log.
    package var firstTime = ""
    package var lastTime = ""
    /// RFC 6962 root of the records counted in `records`, base64.
    package var rootHash = ""
    /// Records that the log's own `checkpoint` file covers; nil when there is none yet.
    package var checkpointSize: UInt64?
    /// Epochs, the open one included.
    package var epochs: UInt64 = 0
    /// The first thing that is wrong, if any: verification stops there.
    package var findings: [Finding] = []

    package var isValid: Bool { findings.isEmpty }

    package init() {}
}

extension VerificationReport {
    mutating func add(_ file: String, _ record: UInt64?, _ reason: String) {
        findings.append(Finding(file: file, record: record, reason: reason))
    }
}
