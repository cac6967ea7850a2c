import CoffreWire
import Testing

@testable import CoffreVault

struct OwnerJobsTests {
    @Test func aServerThatHangsLeavesItsOwnerPlacesForOthers() async throws { try await Stage().oneServerHangs() }

    @Test func jobsOfOneOwnerWaitForEachOther() async throws { try await Stage().everythingHangs() }

    @Test func aRefusalForWantOfRoomSaysThatNothingWasDone() async throws { try await Stage().thereIsNoRoom() }

    private actor Stage {
        private let jobs = OwnerJobs()
        private var entered: [String] = []

        private func place(_ server: String, _ kind: OwnerJobs.Kind = .work, of owner: String = "mallory")
            -> OwnerJobs.Place
        {
            OwnerJobs.Place(owner: owner, server: server, kind: kind)
        }

        private func enter(_ place: OwnerJobs.Place) async throws {
            try await jobs.enter(place)
            entered.append(place.server)
        }

        private func line(_ count: Int, for place: OwnerJobs.Place) async -> [Task<Void, any Error>] {
            let before = jobs.waitingCount(of: place.owner, place.kind)
            let tasks = (0..<count).map { _ in Task { try await self.enter(place) } }
            while jobs.waitingCount(of: place.owner, place.kind) < before + count { await Task.yield() }
            return tasks
        }

        func oneServerHangs() async throws {
            for _ in 0..<6 { try await enter(place("dead")) }
            let waiting = await line(200, for: place("dead"))
            // Neither another server, nor revocations, nor anybody's test wait for it.
            for _ in 0..<6 { try await enter(place("good")) }
            for _ in 0..<3 { try await enter(place("dead", .ending)) }
            for _ in 0..<3 { try await enter(place("good", .ending)) }
            try await enter(place("dead", .trial))
            try await enter(place("good", .trial))
            for _ in 0..<6 { try await enter(place("dead", of: "sarah")) }
            // Whose turn it is later goes past who cannot.
            let next = await line(1, for: place("good"))
            jobs.leave(place("good"))
            for task in next { try await task.value }
            #expect(jobs.waitingCount(of: "mallory", .work) == 200)
            for _ in 0..<200 { jobs.leave(place("dead")) }
            for task in waiting { try await task.value }
        }

        func everythingHangs() async throws {
            for index in 0..<16 { try await enter(place("s\(index)")) }
            let waiting = await line(3, for: place("more"))
            #expect(entered.count == 16)
            for index in 0..<3 { jobs.leave(place("s\(index)")) }
            for task in waiting { try await task.value }
            #expect(entered.count == 19)
            for index in 3..<16 { jobs.leave(place("s\(index)")) }
            for _ in 0..<3 { jobs.leave(place("more")) }
            for _ in 0..<6 { try await enter(place("more")) }
        }

        func thereIsNoRoom() async throws {
            try await enter(place("dead", .trial))
            let waiting = await line(16, for: place("dead", .trial))
            let error = await #expect(throws: VaultError.self) { try await self.enter(self.place("dead", .trial)) }
            #expect(error?.code == .brokerUnavailable && error?.brokerFailure?.isBeforeAnyWork == true)
            try await enter(place("good", .trial))
            jobs.leave(place("good", .trial))
            for _ in 0..<17 { jobs.leave(place("dead", .trial)) }
            for task in waiting { try await task.value }
        }
    }
}
