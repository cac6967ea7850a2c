import CoffreConnectors
import CoffreTestSupport
import CoffreWire
import Testing

@Suite struct WebJobsTests {
    private static func perform(_ url: String, allow: [String]) throws -> BrokerAnswer {
        let jobs = WebJobs(policy: try EgressPolicy(allow: allow), trust: try WebTrust())
        let post = try BrokerPost(target: WebTarget(url), contentType: "text/plain", body: [1], timeoutSeconds: 2)
        return jobs.perform(post)
    }

    @Test(arguments: ["http://10.1.2.3/", "http://192.168.1.1:8080/x", "http://8.8.8.8/"])
    func plainTextLeavesTheMachineOnNoCondition(url: String) throws {
        #expect(try Self.perform(url, allow: ["10.0.0.0/8", "192.168.0.0/16"]) == .failed(BrokerFailure(.tls)))
    }

    @Test(arguments: [
        "https://127.0.0.1:9/", "http://127.0.0.1:9/", "https://[::1]:9/", "https://10.0.0.1/",
        "https://169.254.169.254/",
    ])
    func aPlaceThatIsNotAllowedIsNotTried(url: String) throws {
        #expect(try Self.perform(url, allow: []) == .failed(BrokerFailure(.egressDenied)))
    }

    @Test func whoDoesNotAnswerInTimeIsLeft() throws {
        let listener = try SilentListener()
        let begin = ContinuousClock.now
        let answer = try Self.perform("http://127.0.0.1:\(listener.port)/", allow: ["127.0.0.0/8"])
        #expect(answer == .failed(BrokerFailure(.timeout)))
        #expect(ContinuousClock.now - begin < .seconds(15))
    }

    @Test func aClosedPortIsRefused() throws {
        let port: UInt16
        do { port = try SilentListener().port }
        #expect(try Self.perform("http://127.0.0.1:\(port)/", allow: ["127.0.0.1"]) == .failed(BrokerFailure(.refused)))
    }

    @Test func certificatesThatAreNoneAreRefused() {
        #expect(throws: WebTrust.Failure.self) { _ = try WebTrust(certificates: Array("hello".utf8)) }
        #expect(throws: WebTrust.Failure.self) { _ = try WebTrust(certificates: []) }
    }
}
