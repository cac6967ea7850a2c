internal import CoffreAudit

/// The vault as the HTTP layer sees it. Called on the executor that the vault runs on.
package struct VaultDoor: RequestPerformer {
    private let vault: Vault

    package init(_ vault: Vault) { self.vault = vault }

    package func perform(
        _ request: VaultRequest,
        as principal: Principal,
        completion: @escaping @Sendable (ReleasedAnswer) -> Void
    ) {
        vault.assumeIsolated { $0.perform(request, as: principal, completion: completion) }
    }

    package func refuse(
        _ request: RefusedRequest,
        as principal: Principal,
        completion: @escaping @Sendable (ReleasedAnswer) -> Void
    ) {
        vault.assumeIsolated { $0.refuse(request, as: principal, completion: completion) }
    }

    package func deliveryFailed(_ proof: ReleasedAnswer.Proof, as principal: Principal) {
        guard case .recorded(let receipt) = proof else { return }
        vault.assumeIsolated { $0.deliveryFailed(receipt, as: principal) }
    }
}
