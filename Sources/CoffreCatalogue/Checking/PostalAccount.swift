/// Numbers of postal accounts of Algeria (CCP), and the two keys that guard them.
///
/// A RIP has 20 digits: bank 007, office 99999, account of 10 digits, key of 2 (Instruction 06-2004 of the Bank of Algeria,
/// article 3, for the parts; 007 and 99999 as Algérie Poste publishes them). Its key makes the number from the office on a
/// multiple of 97. The key that is printed beside a CCP number is another: its digits weighted 4 to 13 from the right,
/// modulo 100. Both rules were taken from public implementations that agree with one another, not from the bank's text.
enum PostalAccount {
    private static let prefix = Array("00799999".utf8)

    /// Why `rip` is none.
    enum Defect: Equatable {
        case length
        case prefix
        case key
    }

    /// - Parameter rip: ASCII.
    /// - Returns: nil when the key checks.
    static func defect(of rip: some Collection<UInt8>) -> Defect? {
        guard rip.count == 20, rip.allSatisfy(isDigit) else { return .length }
        guard rip.starts(with: prefix) else { return .prefix }
        // Keys go from 01 to 97; some calculators write 97 as 00, which leaves the same remainder.
        let key = number(rip.suffix(2))
        return key <= 97 && remainder(rip.dropFirst(3)) == 0 ? nil : .key
    }

    /// Whether `key` is the RIP's or the CCP's key of the account `number`.
    /// - Parameters:
    ///   - number: 1 to 10 digits.
    ///   - key: 2 digits.
    /// - Returns: nil when either is something else.
    static func key(_ key: some Collection<UInt8>, fits account: some Collection<UInt8>) -> Bool? {
        guard (1...10).contains(account.count), account.allSatisfy(isDigit), key.count == 2, key.allSatisfy(isDigit)
        else { return nil }
        let padded = Array(repeating: UInt8(ascii: "0"), count: 10 - account.count) + Array(account)
        let weighted = zip(padded.reversed(), 4...13).reduce(0) { $0 + Int($1.0 - 0x30) * $1.1 }
        return defect(of: prefix + padded + Array(key)) == nil || number(key) == weighted % 100
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    private static func number(_ digits: some Sequence<UInt8>) -> Int { digits.reduce(0) { $0 * 10 + Int($1 - 0x30) } }

    private static func remainder(_ digits: some Sequence<UInt8>) -> Int {
        digits.reduce(0) { ($0 * 10 + Int($1 - 0x30)) % 97 }
    }
}
