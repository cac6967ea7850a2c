internal import CoffreWire

/// Maps what the server says (SQLSTATE, PostgreSQL manual, appendix A) to the coarse codes. Server text goes nowhere.
enum PostgresFailure {
    static func code(sqlState: String) -> BrokerFailure.Code {
        switch sqlState {
        case "42501": return .rights
        case "57014", "55P03": return .timeout
        case "25006": return .unavailable
        default: break
        }
        switch sqlState.prefix(2) {
        case "28": return .authentication
        case "08", "40", "53", "57", "58", "XX": return .unavailable
        default: return .statement
        }
    }

    static func failure(sqlState: String?) -> BrokerFailure {
        guard let sqlState else { return BrokerFailure(.unavailable) }
        return BrokerFailure(code(sqlState: sqlState), sqlState: sqlState)
    }

    /// Of a statement: who is logged in was not refused, whatever a trigger or a function of the database says.
    static func failure(ofStatement sqlState: String?) -> BrokerFailure {
        let failure = failure(sqlState: sqlState)
        return failure.code == .authentication ? BrokerFailure(.statement, sqlState: sqlState) : failure
    }

    /// The SQLSTATE at the end of a libpq message made with PQERRORS_SQLSTATE (`…FATAL:  28P01`), nil when none is.
    static func sqlState(inMessage message: String) -> String? {
        let line = message.utf8.split(separator: 0x0a).last ?? message.utf8[...]
        let state = line.suffix(5)
        guard line.count > 7, line.dropLast(5).suffix(3).elementsEqual(":  ".utf8),
            state.allSatisfy({ (48...57).contains($0) || (65...90).contains($0) })
        else { return nil }
        return String(decoding: state, as: UTF8.self)
    }
}
