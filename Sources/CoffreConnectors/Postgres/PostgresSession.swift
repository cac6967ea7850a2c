internal import CoffreWire

/// Transactions in which nothing that a user of the database made, or that the administrator's login is set to, takes the
/// place of the system's own.
enum PostgresSession {
    /// Begins one.
    ///
    /// The path holds the system's catalogue alone (PostgreSQL, "Writing SECURITY DEFINER Functions Safely"): names are
    /// told with their schema then. A broker that dies leaves nothing that holds a lock for longer than a minute.
    static func begin(_ connection: PostgresConnection, readOnly: Bool = false) throws(BrokerFailure) {
        try connection.run(
            """
            BEGIN ISOLATION LEVEL READ COMMITTED READ \(readOnly ? "ONLY" : "WRITE");
            SET LOCAL search_path = pg_catalog, pg_temp; SET LOCAL quote_all_identifiers = off;
            SET LOCAL standard_conforming_strings = on; SET LOCAL jit = off;
            SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL datestyle = 'ISO, YMD';
            SET LOCAL timezone = 'UTC'; SET LOCAL client_min_messages = error; SET LOCAL row_security = off;
            SET LOCAL idle_in_transaction_session_timeout = '60s'
            """
        )
    }

    static func commit(_ connection: PostgresConnection) throws(BrokerFailure) {
        guard try connection.run("COMMIT").tag == "COMMIT" else { throw BrokerFailure(.statement) }
    }
}

extension [String?] {
    /// The column `index`, nil for NULL and where there is none.
    func text(_ index: Int) -> String? { indices.contains(index) ? self[index] : nil }

    /// As a number.
    func number<N: FixedWidthInteger>(_ index: Int, _ type: N.Type = N.self) -> N? { text(index).flatMap { N($0) } }

    /// `t` is true.
    func flag(_ index: Int) -> Bool { text(index) == "t" }
}
