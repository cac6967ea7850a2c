/// The closed list of what a record can be about (schema version 1), in the order of the specification.
package enum AuditOperation: String, CaseIterable, Sendable {
    // The log itself.
    case genesis
    case daemonStart = "daemon.start"
    case daemonStop = "daemon.stop"
    case heartbeat
    case clockJump = "clock.jump"
    case segmentOpen = "segment.open"
    case segmentSeal = "segment.seal"
    case keyRotate = "key.rotate"
    case witnessCosigned = "witness.cosigned"
    case recovery
    case prune
    case holdSet = "hold.set"
    case holdClear = "hold.clear"
    case reserveUsed = "reserve.used"
    case configChange = "config.change"
    // Authentication.
    case authOk = "auth.ok"
    case authFail = "auth.fail"
    case tokenIssue = "token.issue"
    case tokenRevoke = "token.revoke"
    // Secrets and leases.
    case secretRead = "secret.read"
    case secretList = "secret.list"
    case secretWrite = "secret.write"
    case secretDelete = "secret.delete"
    case leaseRenew = "lease.renew"
    case leaseRevoke = "lease.revoke"
    case deliveryFailed = "delivery.failed"
    case overflow
    // Rotation.
    case rotationStart = "rotation.start"
    case rotationOk = "rotation.ok"
    case rotationFail = "rotation.fail"
    // Administration.
    case policyChange = "policy.change"
    case roleGrant = "role.grant"
    case roleRevoke = "role.revoke"
    case connectorAdd = "connector.add"
    case connectorUpdate = "connector.update"
    case connectorRemove = "connector.remove"
    case unseal
    case seal
    case breakGlassOpen = "break_glass.open"
    case breakGlassClose = "break_glass.close"
    // Use of the log.
    case auditRead = "audit.read"
    case auditExport = "audit.export"
    case auditVerify = "audit.verify"
    // People.
    case subjectRegister = "subject.register"
    case subjectUpdate = "subject.update"
    case erasureRequest = "erasure.request"
    case erasureDone = "erasure.done"
    // Findings.
    case anomalyRaise = "anomaly.raise"
    case anomalyAck = "anomaly.ack"
    case anomalyClose = "anomaly.close"
    // Engines, system, approvals.
    case tokenRenew = "token.renew"
    case tokenLookup = "token.lookup"
    case wrap
    case unwrap
    case wrapReplay = "wrap.replay"
    case cubbyholeRead = "cubbyhole.read"
    case cubbyholeWrite = "cubbyhole.write"
    case kvUndelete = "kv.undelete"
    case kvDestroy = "kv.destroy"
    case kvMetadata = "kv.metadata"
    case transitUse = "transit.use"
    case transitKey = "transit.key"
    case identityChange = "identity.change"
    case oauthConsent = "oauth.consent"
    case oauthRefresh = "oauth.refresh"
    case oauthRevoke = "oauth.revoke"
    case oauthNeedsConsent = "oauth.needs_consent"
    case connectionTest = "connection.test"
    case connectionDisable = "connection.disable"
    case connectionRestore = "connection.restore"
    case leaseIssue = "lease.issue"
    case approvalRequest = "approval.request"
    case approvalGrant = "approval.grant"
    case approvalDeny = "approval.deny"
    case rekey
    case initialise = "init"
    case unsealProgress = "unseal.progress"
    case unsealFail = "unseal.fail"
    case anomalyMute = "anomaly.mute"
    case jobParked = "job.parked"
    case jobUnknown = "job.unknown"
    case reportExport = "report.export"
    case backupTake = "backup.take"
    case backupRestore = "backup.restore"
    case restoreConfirm = "restore.confirm"
    case sysRead = "sys.read"
    case sysWrite = "sys.write"
    case policyRead = "policy.read"
    case mountChange = "mount.change"
    case authChange = "auth.change"
    case identityRead = "identity.read"
    case engineRead = "engine.read"
    case engineChange = "engine.change"
    case leaseLookup = "lease.lookup"
    case barrierRotate = "barrier.rotate"
    case tlsWaived = "tls.waived"
    case requestInvalid = "request.invalid"
    case requestUnmatched = "request.unmatched"
    case connectionRead = "connection.read"
    case tokenChange = "token.change"
}
