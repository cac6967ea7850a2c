/// What answers the requests of a socket: the only door between HTTP and the vault.
///
/// Every method is called on the event loop of the connection. A completion may run on any thread and must run exactly
/// once; when the vault lives on the same event loop it runs there already, without a hop.
package protocol RequestPerformer: Sendable {
    /// Decides, performs and records `request`, then hands over what may leave.
    func perform(
        _ request: VaultRequest,
        as principal: Principal,
        completion: @escaping @Sendable (ReleasedAnswer) -> Void
    )

    /// Records a request that HTTP itself refuses, then hands over the refusal.
    func refuse(
        _ request: RefusedRequest,
        as principal: Principal,
        completion: @escaping @Sendable (ReleasedAnswer) -> Void
    )

    /// Says that an answer, released by `proof`, could not be written whole: the caller may not have received it.
    func deliveryFailed(_ proof: ReleasedAnswer.Proof, as principal: Principal)
}

extension ReleasedAnswer {
    /// An answer without a record, for the fakes of tests and load generators: it stands for a released one.
    ///
    /// Behind an SPI, so that the product cannot name it by accident.
    @_spi(Unrecorded)
    public static func unrecorded(
        status: Int,
        headers: [(name: String, value: String)] = [],
        body: ResponseBody
    ) -> ReleasedAnswer {
        ReleasedAnswer(statusRoute: status, headers: headers.map { Header(name: $0.name, value: $0.value) }, body: body)
    }
}
