internal import CoffreWire

/// Jobs at servers that run for one owner at a time. Confined to the vault's executor.
///
/// The broker has 64 threads and does not know owners: without this bound, a few servers that accept and never answer would
/// take them all. A server gets a part of its owner's places, so that one that is dead leaves room for the others; what ends
/// logins, and what people try who only use a connection, have places of their own.
final class OwnerJobs {
    enum Kind {
        case work
        /// Revocation.
        case ending
        /// Tests by who may not mend what is tested.
        case trial

        /// How many run for one owner, 26 of all kinds together; of these, at one server; and how many wait at most, for
        /// all servers and for one.
        fileprivate var most: (running: Int, atServer: Int, waiting: Int, waitingForServer: Int) {
            switch self {
            case .work: (16, 6, 512, 256)
            case .ending: (8, 3, 2048, 1024)
            case .trial: (2, 1, 32, 16)
            }
        }
    }

    struct Place: Hashable {
        let owner: String
        /// As ``BrokerJob/server`` tells it.
        let server: String
        let kind: Kind

        init(owner: String, server: String, kind: Kind) {
            self.owner = owner
            self.server = server
            self.kind = kind
        }

        init(_ job: BrokerJob, _ origin: JobOrigin) {
            let isEnding = job.kind == .revoke || job.kind == .withdraw
            self.init(
                owner: origin.owner,
                server: job.server,
                kind: isEnding ? .ending : origin.isTrial ? .trial : .work
            )
        }

        fileprivate var pool: Pool { Pool(owner: owner, kind: kind) }
    }

    fileprivate struct Pool: Hashable {
        let owner: String
        let kind: Kind
    }

    private struct Line {
        var running = 0
        var waiting: [(place: Place, next: CheckedContinuation<Void, Never>)] = []

        var isEmpty: Bool { running == 0 && waiting.isEmpty }
    }

    private var lines: [Pool: Line] = [:]
    private var running: [Place: Int] = [:]

    /// Waits for a place, until ``leave(_:)``.
    /// - Throws: ``VaultError`` `.brokerUnavailable` when too many wait already; nothing has been done then.
    func enter(_ place: Place, isolation: isolated (any Actor)? = #isolation) async throws(VaultError) {
        guard !isFree(place) else { return take(place) }
        let (line, most) = (lines[place.pool] ?? Line(), place.kind.most)
        guard line.waiting.count < most.waiting,
            line.waiting.count(where: { $0.place == place }) < most.waitingForServer
        else {
            throw VaultError(
                .brokerUnavailable,
                "too many requests wait for this server, or for others of this connection's owner: try again later",
                cause: BrokerFailure(.unavailable, sqlState: BrokerFailure.neverConnected)
            )
        }
        // Whoever leaves takes the place for who comes next.
        await withCheckedContinuation { lines[place.pool, default: Line()].waiting.append((place, $0)) }
    }

    func leave(_ place: Place) {
        running[place] = running[place].flatMap { $0 > 1 ? $0 - 1 : nil }
        lines[place.pool]?.running -= 1
        while let index = lines[place.pool]?.waiting.firstIndex(where: { isFree($0.place) }),
            let first = lines[place.pool]?.waiting.remove(at: index)
        {
            take(first.place)
            first.next.resume()
        }
        if lines[place.pool]?.isEmpty == true { lines[place.pool] = nil }
    }

    func waitingCount(of owner: String, _ kind: Kind) -> Int {
        lines[Pool(owner: owner, kind: kind)]?.waiting.count ?? 0
    }

    private func isFree(_ place: Place) -> Bool {
        lines[place.pool]?.running ?? 0 < place.kind.most.running && running[place] ?? 0 < place.kind.most.atServer
    }

    private func take(_ place: Place) {
        running[place, default: 0] += 1
        lines[place.pool, default: Line()].running += 1
    }
}

extension BrokerJob {
    /// Host and port, however the host is written.
    var server: String {
        let name = host.lowercased()
        return "\(name.hasSuffix(".") ? String(name.dropLast()) : name):\(port)"
    }
}
