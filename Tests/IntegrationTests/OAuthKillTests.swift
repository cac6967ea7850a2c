import CoffreTestSupport
import CoffreWire
import Foundation
import Glibc
import Testing

/// Either daemon killed at each frame of a refresh, against a server that punishes a refresh token that comes twice.
@Suite(.serialized)
struct OAuthKillTests {
    @Test(arguments: [true, false])
    func aGrantSurvivesOrSaysWhy(_ killsVault: Bool) throws {
        let stage = try OAuthStage()
        for point in DatabaseStage.Point.allCases {
            for isLost in [true, false] {
                try stage.connect()
                let sent = try stage.server.statuses("refresh_token").count
                arm(stage, at: point, isLost: isLost) {
                    if killsVault { _ = Glibc.kill(stage.vault.pid, SIGKILL) } else { stage.killBroker() }
                }
                _ = try? stage.people.status("POST", OAuthStage.path + "/rotate", as: "sarah")
                try eventually(within: 10, "somebody dies at \(point)") {
                    killsVault ? !stage.vault.isRunning : !stage.isBrokerRunning
                }
                try stage.recover()
                // Never silently dead: the token works, or a person is asked for with the reason.
                try eventually(within: 40, "settled after \(point), lost: \(isLost)") {
                    guard let grant = try? stage.grant(), let state = grant["state"] as? String else { return false }
                    if state == "needs-consent" { return (grant["reason"] as? String)?.isEmpty == false }
                    _ = try? stage.people.status("POST", OAuthStage.path + "/rotate", as: "sarah")
                    return state == "healthy" && (try? stage.works(stage.token().token)) == true
                }
                let statuses = try stage.server.statuses("refresh_token").dropFirst(sent)
                // A vault that dies loses no answer: the broker has it.
                if killsVault {
                    #expect(try stage.state() == "healthy", "\(point), lost: \(isLost)")
                    #expect(statuses.allSatisfy { $0 == 200 }, "\(point), lost: \(isLost): \(statuses)")
                    #expect(try stage.server.tokens()["families"] == 0)
                }
            }
        }
        try stage.expectSecrecy()
    }

    /// Killed wherever it may be, again and again, while the grant is refreshed; a hundred times in `make soak`.
    @Test func randomMomentsCostNoGrantInSilence() throws {
        let stage = try OAuthStage()
        try stage.connect()
        var random = Seeded(11)
        for round in 0..<(ProcessInfo.processInfo.environment["COFFRE_SOAK"] == nil ? 24 : 100) {
            if try stage.state() != "healthy" { try stage.connect() }
            let delay = Double.random(in: 0...0.12, using: &random)
            let killsVault = random.chance(2)
            let pid = stage.vault.pid
            DispatchQueue.global().asyncAfter(deadline: .now() + delay) {
                if killsVault { _ = Glibc.kill(pid, SIGKILL) } else { stage.killBroker() }
            }
            _ = try? stage.people.status("POST", OAuthStage.path + "/rotate", as: "sarah")
            try eventually(within: 10, "somebody dies") {
                killsVault ? !stage.vault.isRunning : !stage.isBrokerRunning
            }
            try stage.recover()
            try eventually(within: 40, "settled after round \(round)") {
                guard let grant = try? stage.grant(), let state = grant["state"] as? String else { return false }
                if state == "needs-consent" { return (grant["reason"] as? String)?.isEmpty == false }
                _ = try? stage.people.status("POST", OAuthStage.path + "/rotate", as: "sarah")
                return state == "healthy" && (try? stage.works(stage.token().token)) == true
            }
            // A vault that dies alone loses nothing.
            if killsVault { #expect(try stage.state() == "healthy", "round \(round)") }
        }
        try stage.expectSecrecy()
    }

    /// As ``DatabaseStage/kill(at:nth:isLost:_:)``, for the first job that comes.
    private func arm(
        _ stage: OAuthStage,
        at point: DatabaseStage.Point,
        isLost: Bool,
        _ kill: @escaping @Sendable () -> Void
    ) {
        let once = Once()
        stage.gate.watch { kind, direction, frame in
            switch (point, kind, direction) {
            case (.jobAboutToLeave, .job, .toBroker), (.answerAboutToArrive, .answer, .toVault):
                guard once.isFirst else { return [frame] }
                kill()
                return isLost ? [] : [frame]
            case (.jobWithTheBroker, .job, .toBroker), (.answerArrived, .answer, .toVault):
                if once.isFirst { Thread.detachNewThread(kill) }
                return [frame]
            case (.acknowledged, .ack, .toBroker):
                if once.isFirst { kill() }
                return [frame]
            default: return [frame]
            }
        }
    }
}
