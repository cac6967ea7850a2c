internal import Glibc
internal import TOMLKit

/// What is wrong with a configuration file, and where.
package struct ConfigurationError: Error, Sendable, CustomStringConvertible {
    package let path: String
    /// 1-based; nil when the whole file is meant.
    package let line: Int?
    /// Says what is allowed.
    package let message: String

    package init(path: String, line: Int?, message: String) {
        self.path = path
        self.line = line
        self.message = message
    }

    package var description: String { line.map { "\(path):\($0): \(message)" } ?? "\(path): \(message)" }
}

/// A TOML file whose every key is asked for by name: what nobody asked for is an error with its line.
package struct ConfigurationFile {
    package let path: String
    private let table: TOMLTable
    private let lines: [String: Int]
    private var asked: Set<String> = []

    /// - Parameters:
    ///   - text: the file's content, at most 256 KiB.
    ///   - path: for messages.
    /// - Throws: ``ConfigurationError`` with the position of a syntax error.
    package init(text: String, path: String) throws(ConfigurationError) {
        self.path = path
        guard text.utf8.count <= 262_144 else {
            throw ConfigurationError(path: path, line: nil, message: "the file is larger than 256 KiB")
        }
        do {
            table = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            throw ConfigurationError(path: path, line: error.source.begin.line, message: error.description)
        } catch {
            throw ConfigurationError(path: path, line: nil, message: "not a TOML file")
        }
        lines = Self.lineNumbers(text)
    }

    /// Reads and parses the file at `path`.
    /// - Throws: ``ConfigurationError``.
    package static func read(_ path: String) throws(ConfigurationError) -> ConfigurationFile {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw ConfigurationError(
                path: path,
                line: nil,
                message: "cannot be opened: \(String(cString: strerror(errno)))"
            )
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 262_145)
        var count = 0
        while count < bytes.count {
            let got = bytes.withUnsafeMutableBytes {
                Glibc.read(descriptor, $0.baseAddress?.advanced(by: count), $0.count - count)
            }
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else {
                throw ConfigurationError(
                    path: path,
                    line: nil,
                    message: "cannot be read: \(String(cString: strerror(errno)))"
                )
            }
            if got == 0 { break }
            count += got
        }
        guard let text = String(validating: bytes[..<count], as: UTF8.self) else {
            throw ConfigurationError(path: path, line: nil, message: "the file is not UTF-8")
        }
        return try ConfigurationFile(text: text, path: path)
    }

    /// The text at `key` (`section.name` or `name`), nil when absent.
    package mutating func text(_ key: String) throws(ConfigurationError) -> String? {
        guard let value = value(key) else { return nil }
        guard let text = value.string else { throw error(key, "takes a text in quotes") }
        return text
    }

    package mutating func integer(_ key: String, in range: ClosedRange<Int>) throws(ConfigurationError) -> Int? {
        guard let value = value(key) else { return nil }
        guard let number = value.int, range.contains(number) else {
            throw error(key, "takes a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return number
    }

    /// True or false; nil when the key is absent.
    package mutating func flag(_ key: String) throws(ConfigurationError) -> Bool? {
        guard let value = value(key) else { return nil }
        guard let flag = value.bool else { throw error(key, "takes true or false") }
        return flag
    }

    package mutating func integers(_ key: String) throws(ConfigurationError) -> [Int]? {
        guard let value = value(key) else { return nil }
        let numbers = value.array.map { array in array.map(\.int) }
        guard let numbers, !numbers.contains(nil) else {
            throw error(key, "takes a list of whole numbers, such as [1000]")
        }
        return numbers.compactMap { $0 }
    }

    package mutating func texts(_ key: String) throws(ConfigurationError) -> [String]? {
        guard let value = value(key) else { return nil }
        let texts = value.array.map { array in array.map(\.string) }
        guard let texts, !texts.contains(nil) else { throw error(key, "takes a list of texts, such as [\"a\", \"b\"]") }
        return texts.compactMap { $0 }
    }

    /// An error at the line of `key`.
    package func error(_ key: String, _ message: String) -> ConfigurationError {
        ConfigurationError(path: path, line: lines[key], message: "\(key) \(message)")
    }

    /// Refuses every key that nobody asked for.
    /// - Throws: ``ConfigurationError`` with the line of the first unknown key and the known ones.
    package func finish() throws(ConfigurationError) {
        var unknown: [String] = []
        for key in table.keys {
            guard let section = table[key]?.table else {
                if !asked.contains(key) { unknown.append(key) }
                continue
            }
            let names = section.keys.map { "\(key).\($0)" }
            if names.isEmpty, !asked.contains(where: { $0.hasPrefix(key + ".") }) { unknown.append(key) }
            unknown.append(contentsOf: names.filter { !asked.contains($0) })
        }
        let first = unknown.min { (lines[$0] ?? .max, $0) < (lines[$1] ?? .max, $1) }
        guard let first else { return }
        let known = asked.sorted().joined(separator: ", ")
        throw ConfigurationError(path: path, line: lines[first], message: "unknown key \(first); known are \(known)")
    }

    private mutating func value(_ key: String) -> (any TOMLValueConvertible)? {
        asked.insert(key)
        let parts = key.split(separator: ".", maxSplits: 1).map(String.init)
        return parts.count == 2 ? table[parts[0]]?.table?[parts[1]] : table[key]
    }

    // TOMLKit gives positions for syntax errors only: find the line on which each key stands.
    private static func lineNumbers(_ text: String) -> [String: Int] {
        var result: [String: Int] = [:]
        var section = ""
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let line = line.drop { $0 == " " || $0 == "\t" }
            if line.hasPrefix("["), let close = line.firstIndex(of: "]") {
                section = String(line[line.index(after: line.startIndex)..<close].filter { $0 != " " && $0 != "\"" })
                if result[section] == nil { result[section] = index + 1 }
            } else if let equals = line.firstIndex(of: "="), !line.hasPrefix("#") {
                let name = line[..<equals].filter { $0 != " " && $0 != "\t" && $0 != "\"" }
                let key = section.isEmpty ? String(name) : "\(section).\(name)"
                if result[key] == nil { result[key] = index + 1 }
            }
        }
        return result
    }
}
