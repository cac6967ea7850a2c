import Testing

@testable import CoffreVault

struct OwnerTurnsTests {
    @Test func oneOwnerLeavesRoomForTheOthers() {
        var turns = OwnerTurns(limit: 4, limitOfOwner: 3)
        for index in 0..<20 { turns.append("slow\(index)", of: "mallory") }
        for index in 0..<2 { turns.append("good\(index)", of: "sarah") }
        turns.append("good0", of: "sarah")
        #expect([turns.next(), turns.next(), turns.next(), turns.next()] == ["slow0", "good0", "slow1", "good1"])
        #expect(turns.next() == nil)
        turns.end("good0")
        #expect(turns.next() == "slow2")
        turns.end("good1")
        #expect(turns.next() == nil, "three of mallory's are visited")
        turns.append("good0", of: "sarah")
        #expect(turns.next() == "good0")
        turns.end("slow1")
        #expect(turns.next() == "slow3")
    }

    @Test func aConnectionIsVisitedOnceAtATime() {
        var turns = OwnerTurns(limit: 4, limitOfOwner: 4)
        turns.append("a", of: "x")
        #expect(turns.next() == "a")
        turns.append("a", of: "x")
        turns.append("a", of: "x")
        #expect(turns.next() == nil)
        turns.end("a")
        #expect(turns.next() == "a")
        turns.end("a")
        turns.end("a")
        #expect(turns.next() == nil)
    }

    @Test func everythingIsVisitedInTheEnd() {
        var turns = OwnerTurns(limit: 5, limitOfOwner: 2)
        var left: Set<String> = []
        for index in 0..<300 {
            left.insert("c\(index)")
            turns.append("c\(index)", of: "o\(index % 7)")
        }
        var busy: [String] = []
        while true {
            while let next = turns.next() {
                #expect(left.remove(next) != nil)
                busy.append(next)
                #expect(busy.count <= 5)
            }
            guard let first = busy.first else { break }
            turns.end(first)
            busy.removeFirst()
        }
        #expect(left.isEmpty)
    }
}
