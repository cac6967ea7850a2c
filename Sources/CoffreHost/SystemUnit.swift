/// Finds the systemd *system* service of a process in the text of `/proc/PID/cgroup` (cgroups(7)).
///
/// Pure: text in, unit out. What a user could have arranged never counts: user managers (`user.slice`, `user@…`),
/// scopes, machines, and sub-groups below a service, which the service may have delegated to anybody.
package enum SystemUnit {
    /// The largest `/proc/PID/cgroup` that is looked at.
    package static let maximumBytes = 16_384

    /// The service's full name as systemd spells it (`backup.service`, `job@a\x2db.service`), or nil.
    ///
    /// Version 2 (`0::/path`) is believed when it names a place below the root; on version 1 and hybrid machines the
    /// `name=systemd` hierarchy speaks. Where both name a unit they must agree.
    package static func parse(_ text: [UInt8]) -> String? {
        guard text.count <= maximumBytes else { return nil }
        var unified: [UInt8]?
        var named: [UInt8]?
        for line in text.split(separator: 0x0A) {
            guard let first = line.firstIndex(of: 0x3A),
                let second = line[(first + 1)...].firstIndex(of: 0x3A)
            else { return nil }
            let hierarchy = line[..<first]
            let controllers = line[(first + 1)..<second]
            let path = line[(second + 1)...]
            guard !hierarchy.isEmpty, hierarchy.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            if controllers.isEmpty, hierarchy.elementsEqual([0x30]) {
                guard unified == nil else { return nil }
                unified = Array(path)
            } else if controllers.elementsEqual("name=systemd".utf8) {
                guard named == nil else { return nil }
                named = Array(path)
            }
        }
        // Hybrid: systemd keeps its own tree in the named hierarchy, and 0:: repeats it or says "/".
        switch (named, unified) {
        case (let named?, let unified?) where unified != [0x2F]:
            guard let unit = unit(at: named), unit.utf8.elementsEqual(self.unit(at: unified)?.utf8 ?? "".utf8) else {
                return nil
            }
            return unit
        case (let named?, _): return unit(at: named)
        case (nil, let unified?): return unit(at: unified)
        case (nil, nil): return nil
        }
    }

    /// Sub-groups that systemd itself makes inside a service for `ExecStop=` and the like. A `DelegateSubgroup=` is *not*
    /// among them: below it the service decides who runs.
    private static let ownSubgroups: [[UInt8]] = [Array(".control".utf8), Array("control".utf8)]

    private static func unit(at path: [UInt8]) -> String? {
        guard path.first == 0x2F else { return nil }
        let parts = path.dropFirst().split(separator: 0x2F, omittingEmptySubsequences: false).map { Array($0) }
        guard parts.first.map({ $0 == Array("system.slice".utf8) }) == true else { return nil }
        var index = 1
        // Nested slices: each is named after the one around it, `a-b.slice` inside `a.slice`.
        while index < parts.count, hasSuffix(parts[index], ".slice") {
            guard isUnitName(parts[index]) else { return nil }
            index += 1
        }
        guard index < parts.count, hasSuffix(parts[index], ".service"), isUnitName(parts[index]) else { return nil }
        guard !parts[index].starts(with: "user@".utf8) else { return nil }
        let rest = parts[(index + 1)...]
        guard rest.isEmpty || rest.count == 1 && rest.first.map({ ownSubgroups.contains($0) }) == true else {
            return nil
        }
        return String(validating: parts[index], as: UTF8.self)
    }

    private static func hasSuffix(_ name: [UInt8], _ suffix: StaticString) -> Bool {
        suffix.withUTF8Buffer { name.count > $0.count && name.suffix($0.count).elementsEqual($0) }
    }

    /// systemd.unit(5): at most 255 bytes of ASCII letters, digits and `:-_.\`, one `@` for an instance.
    private static func isUnitName(_ name: [UInt8]) -> Bool {
        guard name.count <= 255 else { return false }
        var ats = 0
        for byte in name {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x3A, 0x2D, 0x5F, 0x2E, 0x5C: continue
            case 0x40: ats += 1
            default: return false
            }
        }
        return ats <= 1 && name.first != 0x40 && name.first != 0x2E
    }
}
