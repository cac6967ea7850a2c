extension AuditOperation {
    /// What the last eighth of the reserve is kept for: the log itself, and what makes room in it.
    var isVital: Bool {
        switch self {
        case .daemonStop, .segmentOpen, .segmentSeal, .keyRotate, .reserveUsed, .recovery, .prune, .holdSet,
            .holdClear, .auditExport, .seal:
            true
        default: false
        }
    }

    /// Whether a record of this kind is still taken when only the space that was set aside is left (specification 3.8).
    ///
    /// What is essential: the log itself, getting in and out of the vault, administration, taking rights back, and what
    /// follows from acts that were recorded before. Not essential: handing out, storing or using secrets.
    package var isEssential: Bool {
        switch self {
        case .genesis, .daemonStart, .daemonStop, .heartbeat, .clockJump, .segmentOpen, .segmentSeal, .keyRotate,
            .witnessCosigned, .recovery, .prune, .holdSet, .holdClear, .reserveUsed, .configChange:
            true
        case .authOk, .authFail, .tokenIssue, .tokenRevoke, .tokenRenew, .tokenLookup, .tokenChange: true
        case .deliveryFailed, .overflow, .leaseRevoke, .rotationOk, .rotationFail, .jobParked, .jobUnknown: true
        case .policyChange, .policyRead, .roleGrant, .roleRevoke, .unseal, .seal, .breakGlassOpen, .breakGlassClose,
            .rekey, .initialise, .unsealProgress, .unsealFail, .barrierRotate, .sysRead, .sysWrite, .mountChange,
            .authChange, .identityRead, .identityChange, .connectorRemove, .connectionDisable, .backupTake,
            .backupRestore, .restoreConfirm:
            true
        case .auditRead, .auditExport, .auditVerify, .reportExport: true
        case .subjectRegister, .subjectUpdate, .erasureRequest, .erasureDone: true
        case .anomalyRaise, .anomalyAck, .anomalyClose, .anomalyMute: true
        case .secretRead, .secretList, .secretWrite, .secretDelete, .leaseIssue, .leaseRenew, .leaseLookup,
            .kvUndelete, .kvDestroy, .kvMetadata, .cubbyholeRead, .cubbyholeWrite, .wrap, .unwrap, .wrapReplay,
            .transitUse, .transitKey:
            false
        case .rotationStart, .connectorAdd, .connectorUpdate, .engineRead, .engineChange, .tlsWaived,
            .connectionRead, .connectionTest, .connectionRestore, .oauthConsent, .oauthRefresh, .oauthRevoke,
            .oauthNeedsConsent, .approvalRequest, .approvalGrant, .approvalDeny, .requestInvalid, .requestUnmatched:
            false
        }
    }
}
