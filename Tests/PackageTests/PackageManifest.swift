import CoffreTestSupport
import Foundation

/// The targets of Package.swift, as `swift package dump-package` reports them.
struct PackageManifest: Decodable {
    struct Unreadable: Error {
        let reason: String
    }

    struct Target: Decodable {
        struct Dependency: Decodable {
            let name: String

            private enum Kind: String, CodingKey {
                case byName, target, product
            }

            init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: Kind.self)
                guard let kind = container.allKeys.first else {
                    throw Unreadable(reason: "a dependency of an unknown kind")
                }
                // [name, package, condition…]: only the first is always a string.
                var values = try container.nestedUnkeyedContainer(forKey: kind)
                name = try values.decode(String.self)
            }
        }

        struct Setting: Decodable {
            let kind: [String: [String: Value]]

            /// `_0` of a setting: a string, or a list of them.
            enum Value: Decodable {
                case one(String), many([String])

                init(from decoder: any Decoder) throws {
                    let container = try decoder.singleValueContainer()
                    if let text = try? container.decode(String.self) {
                        self = .one(text)
                    } else {
                        self = .many(try container.decode([String].self))
                    }
                }
            }
        }

        let name: String
        let type: String
        let dependencies: [Dependency]
        let settings: [Setting]

        /// Upcoming features and the level of warnings, as `kind=value`.
        var settingNames: Set<String> {
            Set(
                settings.flatMap { setting in
                    setting.kind.compactMap { kind, values in
                        if case .one(let value)? = values["_0"] { "\(kind)=\(value)" } else { nil }
                    }
                }
            )
        }
    }

    let targets: [Target]

    /// Asked once; the scratch folder is apart, because `swift test` holds the lock of the usual one.
    static let current = Result {
        let folder = try TestFolder("manifest")
        let (status, output) = try RunningProcess.run(
            "/usr/bin/env",
            [
                "swift", "package", "--package-path", PackageFolder.path, "--scratch-path", folder.file("scratch"),
                "dump-package",
            ],
            timeout: 120
        )
        // Warnings may stand before the object.
        guard status == 0, let start = output.range(of: "\n{")?.upperBound ?? output.range(of: "{")?.upperBound else {
            throw Unreadable(reason: "swift package dump-package: \(output)")
        }
        let object = output[output.index(before: start)...]
        return try JSONDecoder().decode(PackageManifest.self, from: Data(object.utf8))
    }

    /// What `target` lists itself.
    func dependencies(of target: String) -> Set<String> {
        Set(targets.first { $0.name == target }?.dependencies.map(\.name) ?? [])
    }

    /// What `target` lists, and everything below it in this package.
    func reachable(from target: String) -> Set<String> {
        var found: Set<String> = []
        var waiting = [target]
        while let next = waiting.popLast() {
            for name in dependencies(of: next) where found.insert(name).inserted { waiting.append(name) }
        }
        return found
    }
}
