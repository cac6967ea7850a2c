import CoffreTestSupport
import Foundation
import Testing

/// Time stamps, mail and webhooks: what carries the head of a log outside when there is no witness.
struct OutsideBehaviourTests {
    private static func stage(
        login: String? = nil,
        _ lines: (WitnessStage) -> [String]
    ) throws -> WitnessStage {
        let stage = try WitnessStage()
        try stage.startOutside(login: login)
        try stage.configure(lines(stage))
        return stage
    }

    private static func files(_ folder: String, _ suffix: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { $0.hasSuffix(suffix) }.sorted().map { folder + "/" + $0 }
    }

    private static func start(_ stage: WitnessStage) throws {
        try stage.daemon.start()
        try stage.daemon.unseal()
    }

    @Test func aTimeStampIsKeptThatOpensslVerifies() throws {
        let stage = try Self.stage { ["tsa = \"https://127.0.0.1:\($0.outsidePort("web"))/tsa\""] }
        try Self.start(stage)
        try eventually(within: 30, "a time stamp") { try stage.status()["witness"] as? String == "tsa" }
        let folder = stage.daemon.auditFolder + "/witness"
        let stamp = try #require(Self.files(folder, ".tsr").last)
        let note = stamp.dropLast(4) + ".note"
        let arguments = ["ts", "-verify", "-data", String(note), "-in", stamp, "-CAfile", stage.authority.certificate]
        let verdict = try RunningProcess.run("/usr/bin/env", ["openssl"] + arguments)
        #expect(verdict.status == 0 && verdict.output.contains("Verification: OK"), "\(verdict.output)")
        // It is a checkpoint of this log that was stamped.
        let trust = stage.daemon.auditFolder + "/log.vkey"
        let kept = ["audit", "verify", "--checkpoint", String(note), "--trust", trust, stage.daemon.auditFolder]
        #expect(try RunningProcess.run(try CoffredProcess.program("coffre"), kept).status == 0)
        try eventually("the record") {
            try stage.daemon.records().contains { record in
                let what = record["what"] as? [String: Any]
                let details = what?["det"] as? [String: Any]
                return what?["op"] as? String == "witness.cosigned" && details?["kind"] as? String == "tsa"
                    && (details?["time"] as? String)?.hasSuffix("Z") == true
            }
        }
        try stage.daemon.stop()
        try stage.daemon.verifyLog()
    }

    @Test(arguments: ["refuse", "other", "garbage"])
    func anAnswerThatIsNoStampIsNotKept(behaviour: String) throws {
        let stage = try Self.stage { ["tsa = \"https://127.0.0.1:\($0.outsidePort("web"))/tsa\""] }
        try stage.behave(behaviour, in: stage.authority.path)
        try Self.start(stage)
        try eventually(within: 30, "the error shows") { try stage.entry("tsa")["error"] is String }
        #expect(Self.files(stage.daemon.auditFolder + "/witness", ".tsr").isEmpty)
        #expect(try stage.write() == 200)
        // The next attempt comes after a pause of seconds.
        try stage.behave("honest", in: stage.authority.path)
        try eventually(within: 40, "a time stamp") { try stage.status()["witness"] as? String == "tsa" }
    }

    @Test(arguments: ["smtp", "smtps"])
    func theHeadComesByMail(scheme: String) throws {
        let stage = try Self.stage {
            [
                "mail_server = \"\(scheme)://127.0.0.1:\($0.outsidePort(scheme))\"",
                "mail_from = \"coffre@example.org\"", "mail_to = [\"officer@example.org\", \"dpo@example.org\"]",
            ]
        }
        try Self.start(stage)
        try eventually(within: 30, "a message") { try stage.status()["witness"] as? String == "mail" }
        let file = try #require(Self.files(stage.authority.path, ".eml").first)
        let text = try String(contentsOfFile: file, encoding: .utf8)
        #expect(
            text.hasPrefix("MAIL FROM:<coffre@example.org>\nRCPT TO:<officer@example.org>\nRCPT TO:<dpo@example.org>")
        )
        // Python's own reader finds the note as a file, byte for byte.
        let script = """
            import email, email.policy, sys
            message = email.message_from_binary_file(open(sys.argv[1], "rb"), policy=email.policy.default)
            parts = list(message.iter_attachments())
            assert message["To"].count("@") == 2 and message["Date"].datetime.year > 2025 and not message.defects
            sys.stdout.write(parts[0].get_content())
            """
        let body = stage.daemon.folder.file("mail")
        let parts = text.components(separatedBy: "\n\n")
        try Data(parts.dropFirst().joined(separator: "\n\n").utf8).write(to: URL(fileURLWithPath: body))
        let note = try RunningProcess.run("/usr/bin/python3", ["-c", script, body])
        #expect(note.status == 0 && note.output.hasPrefix("test.example/coffre\n"), "\(note.output)")
        let kept = stage.daemon.folder.file("kept")
        try Data(note.output.utf8).write(to: URL(fileURLWithPath: kept))
        try stage.daemon.stop()
        let verify = ["audit", "verify", "--checkpoint", kept, stage.daemon.auditFolder]
        #expect(try RunningProcess.run(try CoffredProcess.program("coffre"), verify).status == 0)
    }

    @Test func aMailServerMayAskForALogin() throws {
        var setup = CoffredProcess.Setup()
        setup.seal = "credential"
        let stage = try WitnessStage(setup)
        try Data("coffre:s3cret pass\n".utf8).write(
            to: URL(fileURLWithPath: stage.daemon.folder.file("credentials/coffre.mail"))
        )
        try stage.startOutside(login: "coffre:s3cret pass")
        func lines(_ more: [String]) -> [String] {
            [
                "mail_server = \"smtp://127.0.0.1:\(stage.outsidePort("smtp"))\"",
                "mail_from = \"coffre@example.org\"", "mail_to = [\"officer@example.org\"]",
            ] + more
        }
        try stage.configure(lines([]))
        try stage.daemon.start()
        try eventually(within: 30, "the refusal shows") {
            try stage.entry("mail")["error"] as? String == "the server does not accept the user name or password"
        }
        try stage.daemon.stop()
        try stage.configure(lines(["mail_credential = \"coffre.mail\""]))
        try stage.daemon.start()
        try eventually(within: 30, "a message") { try stage.status()["witness"] as? String == "mail" }
        try stage.daemon.stop()
        #expect(try stage.daemon.folder.contains("s3cret", below: stage.daemon.auditFolder).isEmpty)
        #expect(!stage.daemon.output.contains("s3cret"))
    }

    @Test func theHeadIsHandedToAWebServer() throws {
        let stage = try Self.stage { ["webhook = \"https://localhost:\($0.outsidePort("web"))/hook?token=abc\""] }
        try Self.start(stage)
        try eventually(within: 30, "a webhook") { try stage.status()["witness"] as? String == "mail" }
        let file = try #require(Self.files(stage.authority.path, ".json").first)
        let data = try #require(FileManager.default.contents(atPath: file))
        let body = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
        let note = try #require(body["note"] as? String)
        #expect(body["origin"] as? String == "test.example/coffre" && note.hasPrefix("test.example/coffre\n"))
        #expect(body["size"] as? Int ?? 0 > 0 && note.contains(body["root"] as? String ?? "-"))
        // A token in the URL is nobody's business.
        #expect(!stage.daemon.output.contains("abc"))
    }

    @Test func aBundleCarriesWhatOthersSaid() throws {
        let stage = try WitnessStage()
        try stage.startWitness()
        try stage.startOutside()
        try stage.configure([
            "cosigners = [\"\(stage.vkey) https://127.0.0.1:\(stage.witnessPort)/\"]", "interval_seconds = 1",
            "tsa = \"https://127.0.0.1:\(stage.outsidePort("web"))/tsa\"",
        ])
        try Self.start(stage)
        try eventually(within: 30, "both") {
            try stage.entry("tsa")["level"] as? String == "tsa"
                && stage.entry("witness")["level"] as? String == "witness"
        }
        #expect(try stage.write() == 200)
        try stage.daemon.stop()
        let bundle = stage.daemon.folder.file("b.tar")
        let export = [
            "audit", "export", "--unrecorded", "--path", "secret/*", "--out", bundle, stage.daemon.auditFolder,
        ]
        let made = try RunningProcess.run(try CoffredProcess.program("coffre"), export)
        #expect(made.status == 0, "\(made.output)")
        let verifier = PackageFolder.path + "/Sources/coffre/Audit/Export/Bundle/verify.py"
        let key = stage.daemon.auditFolder + "/log.vkey"
        func verify(_ more: [String]) throws -> (status: Int32, output: String) {
            try RunningProcess.run("/usr/bin/python3", [verifier, "--key", key] + more + [bundle])
        }
        let plain = try verify([])
        #expect(plain.status == 0 && plain.output.contains("NOT CHECKED: --tsa-ca"), "\(plain.output)")
        #expect(plain.output.contains("NOT CHECKED: --witness"))
        let all = try verify(["--witness", stage.vkey, "--tsa-ca", stage.authority.certificate])
        #expect(all.status == 0 && all.output.contains("witness.example/w1 cosigned "), "\(all.output)")
        #expect(all.output.contains("a time stamp over ") && !all.output.contains("NOT CHECKED"))
        // A witness that has said nothing, a key that is none, an authority that stamped nothing.
        let stranger = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
        #expect(try verify(["--witness", stranger]).output.contains("no cosignature of remora.n621.de"))
        #expect(try verify(["--witness", "x"]).status == 2)
        let other = try TestAuthority()
        let refused = try verify(["--tsa-ca", other.certificate])
        #expect(refused.status == 1 && refused.output.contains("openssl does not accept it"), "\(refused.output)")

        let script = WitnessStage.script("mutate_bundle.py")
        let mutants = try RunningProcess.run("/usr/bin/python3", [script, verifier, key, bundle], timeout: 500)
        #expect(mutants.status == 0, "\(mutants.output)")
        // Every bit of the cosignature itself, for a reader who knows the witness.
        let bits = """
            import importlib.util, sys
            spec = importlib.util.spec_from_file_location("verify", sys.argv[1])
            v = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(v)
            note = open(sys.argv[2], "rb").read()
            start = note.rindex(b"\\n", 0, -1) + 5  # after the dash, which every note is held to
            witnesses = [v.cosigner(sys.argv[3])]
            class Any:
                head = staticmethod(lambda note, name: (1, b""))
            v.is_consistent = lambda *_: True
            facts = {"size": 1, "root": b"", "note": b""}
            def told(note):
                small = {"outside/cosigned.checkpoint": note, "outside/cosigned": b""}
                return v.outside("cosigned", small, Any, facts, witnesses, None)
            assert " cosigned " in told(note)[0]
            accepted = 0
            for place in range(start, len(note) - 1):
                changed = bytearray(note)
                changed[place] ^= 1 << place % 8
                try:
                    accepted += any(" cosigned " in line for line in told(bytes(changed)))
                except (v.Bad, ValueError):
                    pass
            sys.exit(accepted)
            """
        let cosigned = stage.daemon.auditFolder + "/witness/checkpoint"
        let changed = try RunningProcess.run("/usr/bin/python3", ["-c", bits, verifier, cosigned, stage.vkey])
        #expect(changed.status == 0, "\(changed.output)")
    }

    @Test(arguments: [
        ("cosigners = [\"x https://h/\"]", "entry 1 takes the witness's key and URL"),
        ("cosigners = [\"remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2 ftp://h/\"]", "https://"),
        ("tsa = \"h\"", "takes a URL"), ("webhook = \"https://u:p@h/\"", "without a user name"),
        ("mail_to = [\"a@b\"]", "mail_server is missing"),
        ("mail_server = \"mail.example\"", "smtps://HOST"),
        ("mail_server = \"smtp://h\"\nmail_from = \"x\"", "mail_from takes an address"),
        ("mail_server = \"smtp://h\"\nmail_from = \"a@b\"\nmail_to = []", "1 to 16 addresses"),
        ("interval_seconds = 0", "1 to 86400"), ("window_hours = 0", "1 to 8760"), ("cosigner = []", "unknown key"),
    ])
    func aMistakeInTheConfigurationIsNamedWithItsLine(line: String, message: String) throws {
        let daemon = try CoffredProcess()
        let basis = try String(contentsOfFile: daemon.configuration, encoding: .utf8)
        let text = basis + "[witness]\n\(line)\n"
        try Data(text.utf8).write(to: URL(fileURLWithPath: daemon.configuration))
        let process = try daemon.launch()
        #expect(try process.wait(timeout: 20) == 78)
        process.drain()
        #expect(process.output.contains(message) && process.output.contains("coffre.toml:"), "\(process.output)")
    }
}
