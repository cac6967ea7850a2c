import CoffreTestSupport
import Foundation
import Glibc
import Testing

/// What each channel is given, once, whatever becomes of servers and daemon.
@Suite(.serialized)
struct AnomalyDeliveryTests {
    /// Words that a server will not have come from whoever is told of: they hold up nobody.
    @Test func whatIsRefusedForGoodIsToldInShortOrLeftOut() throws {
        let stage = try AlertStage("alerts_per_day = 1000")
        try stage.secrets(32)
        try eventually("the first mail") { try !stage.mails().isEmpty }
        try eventually("the first webhook") { try !stage.hooks().isEmpty }
        try stage.behave("mail", "spam")
        try stage.behave("hook", "spam")
        for number in 0..<2 { try stage.sweep(try stage.reader("w\(number)"), 32) }
        try eventually(within: 20, "the mails in short") {
            try stage.mails().count {
                $0.text.contains("text was refused") && $0.text.contains("coffre anomaly explain")
            } == 2
        }
        func channel(_ name: String) throws -> [String: Any]? {
            let status = try stage.call("GET", "sys/anomalies/status").data
            return (status["channels"] as? [[String: Any]])?.first { $0["name"] as? String == name }
        }
        try eventually(within: 20, "the webhook goes on") {
            let hook = try channel("webhook")
            return hook?["refused"] as? Int == 2 && hook?["waiting"] as? Int == 0
        }
        #expect(try channel("mail")?["refused"] as? Int == 0)
        try stage.behave("hook", "honest")
        try stage.sweep(try stage.reader("w9"), 32)
        try eventually(within: 20, "the next one") { try stage.hooks().last?.status == 204 }
        #expect(try channel("webhook")?["refused"] as? Int == 2)
    }

    /// What was given to a channel stays given, also when the memory of the watch is older.
    @Test func afterAKillNothingThatWasSentComesAgain() throws {
        let stage = try AlertStage("alerts_per_day = 1000")
        try stage.secrets(32)
        for number in 0..<4 { try stage.sweep(try stage.reader("w\(number)"), 32) }
        func sweeps() throws -> Int {
            try stage.hooks().count { $0.body["kind"] as? String == "mass_enumeration" }
        }
        try eventually(within: 20, "the webhook has all") { try sweeps() == 4 }
        try eventually(within: 20, "it is noted") {
            let file = stage.daemon.stateFolder + "/anomaly.sent"
            let text = try String(contentsOfFile: file, encoding: .utf8)
            return text.contains("webhook \(try stage.hooks().count)\n")
        }
        try stage.daemon.kill()
        try stage.daemon.start()
        try stage.sweep(try stage.reader("after"), 32)
        try eventually(within: 20, "the next one") { try sweeps() >= 5 }
        #expect(try sweeps() == 5)
        let numbers = try stage.hooks().compactMap { $0.body["number"] as? Int }
        #expect(Set(numbers).count == numbers.count, "\(numbers)")
    }

    @Test func aNumberThatWasCutOffIsNotBelieved() throws {
        let stage = try AlertStage("alerts_per_day = 1000")
        try stage.secrets(32)
        try eventually("the first webhook") { try !stage.hooks().isEmpty }
        try stage.behave("hook", "refuse")
        try stage.sweep(try stage.reader("w"), 32)
        try eventually("it waits") { try stage.incidents("mass_enumeration").count == 1 }
        try stage.daemon.stop()
        let file = stage.daemon.stateFolder + "/anomaly.sent"
        for content in ["", "journal 2\n"] {
            try content.write(toFile: file, atomically: true, encoding: .utf8)
            chmod(file, 0o600)
            try stage.daemon.start()
            try stage.daemon.stop()
        }
        try stage.behave("hook", "honest")
        try stage.daemon.start()
        try eventually(within: 30, "what waited") {
            try stage.hooks().contains { $0.status == 204 && $0.body["kind"] as? String == "mass_enumeration" }
        }
    }

    /// What was said of a channel may be gone, or a channel may be new, while alerts wait.
    @Test func aLostListOfWhatWasSentIsNoReasonToStop() throws {
        let stage = try AlertStage()
        try stage.secrets(32)
        try eventually(within: 10, "the first mail") { try stage.mails().count == 1 }
        try stage.behave("mail", "refuse")
        try stage.sweep(try stage.reader("w"), 32)
        try eventually(within: 10, "the webhook") { try stage.hooks().count == 2 }
        try stage.daemon.stop()
        let file = stage.daemon.stateFolder + "/anomaly.sent"
        let text = try String(contentsOfFile: file, encoding: .utf8)
        let without =
            text.split(separator: "\n").filter { !$0.hasPrefix("webhook") && !$0.hasPrefix("end") }
            .joined(separator: "\n") + "\nend of 2\n"
        try Data(without.utf8).write(to: URL(fileURLWithPath: file))
        try stage.daemon.start()
        #expect(try stage.hooks().count == 2)
        try stage.daemon.stop()
        try FileManager.default.removeItem(atPath: file)
        try stage.daemon.start()
        try stage.behave("mail", "honest")
        try eventually(within: 30, "what waited") {
            try stage.mails().contains { $0.text.contains("different secrets") }
        }
    }
}
