import CoffreTestSupport

/// One server of each kind for all tests here: starting one takes seconds.
enum Servers {
    static let plain = Result { try PostgresServer() }
    static let encrypted = Result { try PostgresServer(tls: true) }
}
