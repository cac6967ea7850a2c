import CoffreCrypto
import CoffreWire
import Testing

@testable import CoffreVault

/// Decoys as they are stored and looked up.
struct DecoyTests {
    private static func mount(_ path: String, version: String? = "2", id: String = "m1") -> Mount {
        var mount = Mount(path: path, type: .kv, id: id)
        mount.tuning.options["version"] = version
        return mount
    }

    private static func decoy(_ path: String, _ mount: Mount, kind: DecoyKind? = .aws) -> Decoy {
        Decoy(
            place: KVPlace(mount: mount, path: Array(path.utf8)),
            kind: kind,
            note: "à côté",
            created: Timestamp(nanoseconds: 1_795_452_011_483_913_001),
            creator: "s-abc"
        )
    }

    private static func stored(_ decoy: Decoy) throws -> SharedSecret {
        guard case .put(let key, let value, _) = decoy.row else { throw VaultError(.internalError) }
        #expect(key.namespace == .system && key.name == decoy.key)
        return value
    }

    @Test(arguments: [nil, DecoyKind.postgresql, .apiKey, .password, .aws])
    func whatIsStoredIsReadAgain(_ kind: DecoyKind?) throws {
        let mount = Self.mount("secret/")
        for path in ["a", "prod/root-db", "data/x", "é/🔑"] {
            let decoy = Self.decoy(path, mount, kind: kind)
            let read = try Decoy(key: decoy.key, decoding: try Self.stored(decoy))
            #expect(read.json(in: mount).map(\.value) == decoy.json(in: mount).map(\.value))
            #expect(read.mountID == "m1" && read.kind == kind && read.path == Array(path.utf8))
        }
    }

    @Test func whatIsNoDecoyIsDamage() throws {
        let good = try Self.stored(Self.decoy("a", Self.mount("secret/")))
        for text in ["", "{", "[]", "null", "{}", #"{"like":1,"created":1}"#, #"{"like":"aws","created":"x"}"#] {
            #expect(throws: VaultError.self, "\(text)") {
                try Decoy(key: Array("m/x".utf8), decoding: SharedSecret(copying: Array(text.utf8)))
            }
        }
        #expect(throws: VaultError.self) { try Decoy(key: Array("m".utf8), decoding: good) }
    }

    @Test func aTableKnowsEveryPathAndNoOther() {
        let (second, first) = (Self.mount("secret/"), Self.mount("old/team/", version: nil, id: "m2"))
        let table = DecoyTable()
        #expect(table.touched(by: Array("secret/data/a/b".utf8)) == nil)
        table.put(Self.decoy("a/b", second), second)
        table.put(Self.decoy("a/b", first), first)
        func touched(_ path: String) -> String? { table.touched(by: Array(path.utf8)) }
        for verb in ["data", "metadata", "subkeys", "delete", "undelete", "destroy"] {
            #expect(touched("secret/\(verb)/a/b") == "secret/a/b")
        }
        #expect(touched("old/team/a/b") == "old/team/a/b")
        #expect(touched("sys/internal/ui/mounts/secret/a/b") == "secret/a/b")
        for path in [
            "", "secret", "secret/a/b", "secret/data/a", "secret/data/a/b/c", "secret/data/a/b2", "secret/config/a/b",
            "secret/DATA/a/b", "old/team/data/a/b", "old/data/a/b", "sys/decoys/secret/a/b",
        ] { #expect(touched(path) == nil, "\(path)") }
        // The mount moves: no old path is left.
        var moved = second
        moved.path = "kv/"
        table.follow(moved)
        #expect(touched("secret/data/a/b") == nil && touched("kv/data/a/b") == "kv/a/b")
        table.removeAll(of: moved)
        #expect(touched("kv/data/a/b") == nil && touched("old/team/a/b") != nil && table.entries.count == 1)
        table.remove(Self.decoy("a/b", first))
        #expect(touched("old/team/a/b") == nil && table.entries.isEmpty)
        table.remove(Self.decoy("a/b", first))
    }

    @Test(arguments: DecoyKind.allCases)
    func fieldsLookTrueAndAreNeverTheSame(_ kind: DecoyKind) throws {
        var seen: Set<[UInt8]> = []
        for _ in 0..<200 {
            let bytes = kind.fields().withBytes { Array($0) }
            seen.insert(bytes)
            let value = try JSONValue(stored: SharedSecret(copying: bytes), "a test")
            let members = try #require(value.members)
            #expect(members.map(\.key) == members.map(\.key).sorted(), "as clients write them")
            for member in members {
                let text = try #require(member.value.string)
                #expect((2...80).contains(text.utf8.count) && !text.lowercased().contains("decoy"), "\(text)")
            }
            let names = Set(members.map(\.key))
            switch kind {
            case .postgresql: #expect(names == ["database", "host", "password", "port", "username"])
            case .apiKey: #expect(names == ["api_key", "url"])
            case .password: #expect(names == ["password", "username"])
            case .aws:
                #expect(value["access_key_id"]?.string?.wholeMatch(of: /AKIA[A-Z2-7]{16}/) != nil)
                #expect(value["secret_access_key"]?.string?.wholeMatch(of: /[A-Za-z0-9+\/]{40}/) != nil)
            }
        }
        #expect(seen.count == 200)
    }
}
