import CoffreHost
import Testing

struct SystemUnitTests {
    @Test(arguments: [
        ("0::/system.slice/backup.service\n", "backup.service"),
        ("0::/system.slice/job@a\\x2db.service", "job@a\\x2db.service"),
        ("0::/system.slice/system-job.slice/job@1.service\n", "job@1.service"),
        ("0::/system.slice/system-a.slice/system-a-b.slice/x.service\n", "x.service"),
        ("0::/system.slice/backup.service/.control\n", "backup.service"),
        ("12:pids:/system.slice/y.service\n1:name=systemd:/system.slice/x.service\n", "x.service"),
        ("1:name=systemd:/system.slice/x.service/control\n", "x.service"),
        ("1:name=systemd:/system.slice/x.service\n0::/system.slice/x.service\n", "x.service"),
        ("1:name=systemd:/system.slice/x.service\n0::/\n", "x.service"),
    ])
    func findsASystemService(text: String, unit: String) {
        #expect(SystemUnit.parse(Array(text.utf8)) == unit)
    }

    @Test(arguments: [
        "",
        "0::/\n",
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/backup.service\n",
        "0::/user.slice/user-1000.slice/session-2.scope\n",
        "0::/system.slice/user@1000.service\n",
        "0::/system.slice/run-r1.scope\n",
        "0::/machine.slice/m.service\n",
        "0::/machine.slice/machine-a.scope/system.slice/x.service\n",
        "0::/system.slice/x.service/child\n",
        "0::/system.slice/x.service/system.slice/y.service\n",
        "0::/system.slice/x.service/.control/more\n",
        "0::/system.slice/x.service/\n",
        "0::/system.slice//x.service\n",
        "0::/system.slice/x.service (deleted)\n",
        "0::system.slice/x.service\n",
        "0::/../system.slice/x.service\n",
        "0::/x.service\n",
        "0::/init.scope\n",
        "0::/system.slice/.service\n",
        "0::/system.slice/a@b@c.service\n",
        "0::/system.slice/x.service\n0::/system.slice/y.service\n",
        "1:name=systemd:/system.slice/x.service\n0::/system.slice/y.service\n",
        "1:name=systemd:/system.slice/x.service\n0::/user.slice/a\n",
        "1:name=systemd:/user.slice/a\n0::/system.slice/x.service\n",
        "1:name=systemd:/system.slice/x.service\n2:name=systemd:/system.slice/x.service\n",
        "1:name=systemd,cpu:/system.slice/x.service\n",
        "1:cpu:/system.slice/x.service\n",
        "x::/system.slice/x.service\n",
        "0::/system.slice/x\u{0}.service\n",
        "0::/system.slice/x.socket\n",
        "no colon\n",
    ])
    func matchesNothingElse(text: String) {
        #expect(SystemUnit.parse(Array(text.utf8)) == nil)
    }

    @Test
    func refusesAnOversizedText() {
        let padding = String(repeating: "9:cpu:/\n", count: SystemUnit.maximumBytes / 8)
        #expect(SystemUnit.parse(Array("\(padding)0::/system.slice/x.service\n".utf8)) == nil)
    }

    /// Whatever a single changed byte does, the result is nil or a service directly named in the text.
    @Test(arguments: [
        "0::/system.slice/backup.service\n",
        "4:cpu:/\n1:name=systemd:/system.slice/system-a.slice/a@b.service\n0::/system.slice/system-a.slice/a@b.service\n",
    ])
    func mutantsNeverYieldAUnitThatIsNotThere(text: String) {
        let original = Array(text.utf8)
        for index in original.indices {
            for byte in UInt8.min...UInt8.max {
                var mutant = original
                mutant[index] = byte
                guard let unit = SystemUnit.parse(mutant) else { continue }
                #expect(unit.hasSuffix(".service") && !unit.contains("/"))
                let path = Array("/\(unit)".utf8)
                let isNamed = mutant.indices.contains { mutant[$0...].starts(with: path) }
                #expect(isNamed, "byte \(byte) at \(index)")
            }
            #expect(SystemUnit.parse(Array(original[..<index])).map { text.contains("/\($0)") } ?? true)
        }
    }
}
