/// What the catalogue says of the fields of a connection.
enum ConnectorFields {
    struct Finding: Sendable {
        let field: String
        let isRefusal: Bool
        let sentence: String
    }

    static func isSecret(_ field: String, of type: String) -> Bool {
        field.contains("password") || field.contains("key")
    }

    static func check(_ connection: Connection) -> [Finding] { [] }
}
