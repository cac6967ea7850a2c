import Testing

@testable import CoffreVault

/// Who may do what with a connection, cell by cell.
@Suite struct ConnectionRightsTests {
    private static func table(_ name: String) -> TableName { TableName(schema: "public", name: SQLName(name)) }

    private static func rule(_ name: String, _ level: ConnectionLevel, _ columns: [SQLName]? = nil) -> TableRule {
        TableRule(table: table(name), level: level, columns: columns)
    }

    /// The matrix of the product guide: six tables, two teams, one person who is refused.
    private static var guide: ConnectionRights {
        var rights = ConnectionRights(owner: "sarah")
        let names = ["clients", "factures", "paiements", "salaires", "produits", "commandes"]
        rights.tables = names.map { rule($0, .readWrite) }
        rights.grants = [
            ConnectionGrant(
                subject: .group("finance"),
                level: .readWrite,
                tables: names.map { rule($0, $0 == "produits" ? .read : .readWrite) }
            ),
            ConnectionGrant(
                subject: .group("commercial"),
                level: .readWrite,
                tables: [
                    rule("clients", .read), rule("factures", .read), rule("paiements", .none),
                    rule("salaires", .none), rule("produits", .readWrite), rule("commandes", .readWrite),
                ]
            ),
            ConnectionGrant(
                subject: .entity("ahmed"),
                level: .none,
                tables: names.map { rule($0, ["paiements", "salaires"].contains($0) ? .none : .read) }
            ),
        ]
        return rights
    }

    private static func levels(_ rights: EffectiveRights) -> [String: String] {
        Dictionary(uniqueKeysWithValues: rights.cells.map { ($0.key.name.text, $0.value.level.rawValue) })
    }

    @Test func theGuidesMatrix() {
        let guide = Self.guide
        let finance = guide.effective(entity: "nadia", groups: ["finance"])
        #expect(
            Self.levels(finance) == [
                "clients": "read-write", "factures": "read-write", "paiements": "read-write", "salaires": "read-write",
                "produits": "read", "commandes": "read-write",
            ]
        )
        let commercial = guide.effective(entity: "amine", groups: ["commercial"])
        #expect(
            Self.levels(commercial) == [
                "clients": "read", "factures": "read", "produits": "read-write", "commandes": "read-write",
            ]
        )
        // He is in a team, and refused as a person.
        #expect(guide.effective(entity: "ahmed", groups: ["commercial", "finance"]) == .nothing)
        #expect(guide.effective(entity: "sarah", groups: []).level == .owner)
        #expect(guide.effective(entity: "sarah", groups: []).cells.count == 6)
        #expect(guide.effective(entity: "nobody", groups: []) == .nothing)
        #expect(guide.effective(entity: "", groups: ["finance"]) == .nothing)
    }

    @Test func theSmallerOfLevelAndCellHolds() {
        var rights = Self.guide
        rights.grants[1] = ConnectionGrant(subject: .group("commercial"), level: .read, tables: rights.grants[1].tables)
        let cells = rights.effective(entity: "amine", groups: ["commercial"]).cells
        #expect(cells.values.allSatisfy { $0.level == .read } && cells.count == 4)
        rights.isReadOnly = true
        let owner = rights.effective(entity: "sarah", groups: [])
        #expect(owner.level == .owner && owner.cells.values.allSatisfy { $0.level == .read })
    }

    @Test func aPersonsNoneForATableBeatsEveryTeam() {
        var rights = Self.guide
        rights.grants[2] = ConnectionGrant(
            subject: .entity("ahmed"),
            level: .read,
            tables: [Self.rule("salaires", .none), Self.rule("clients", .read)]
        )
        let ahmed = rights.effective(entity: "ahmed", groups: ["finance"])
        #expect(ahmed.cells[Self.table("salaires")] == nil)
        #expect(ahmed.cells[Self.table("clients")]?.level == .readWrite)
        #expect(ahmed.cells.count == 5)
    }

    @Test func teamsAddUpAndMaskedColumnsStayHidden() throws {
        var rights = ConnectionRights(owner: "o")
        rights.tables = [Self.rule("salaires", .readWrite)]
        rights.masked = [Self.table("salaires"): ["montant"]]
        rights.grants = [
            ConnectionGrant(subject: .group("a"), level: .read, tables: [Self.rule("salaires", .read, ["id", "nom"])]),
            ConnectionGrant(subject: .group("b"), level: .read, tables: [Self.rule("salaires", .read, ["mois"])]),
            ConnectionGrant(subject: .organisation, level: .read, tables: []),
        ]
        let both = try #require(rights.effective(entity: "x", groups: ["a", "b"]).cells[Self.table("salaires")])
        #expect(both.columns == ["id", "mois", "nom"] && both.masked == ["montant"] && both.level == .read)
        let all = try #require(rights.effective(entity: "o", groups: []).cells[Self.table("salaires")])
        #expect(all.columns == nil && all.masked == ["montant"])
        let neither = rights.effective(entity: "x", groups: [])
        #expect(neither.level == .read && neither.cells.isEmpty)
    }

    @Test func aRightToReadMoreIsNoRightToWriteMore() throws {
        var rights = ConnectionRights(owner: "o", audience: .organisation)
        rights.tables = [Self.rule("clients", .readWrite)]
        rights.grants = [
            ConnectionGrant(
                subject: .group("a"),
                level: .readWrite,
                tables: [Self.rule("clients", .readWrite, ["email"])]
            )
        ]
        let both = rights.effective(entity: "x", groups: ["a"])
        let cell = try #require(both.cells[Self.table("clients")])
        #expect(cell.level == .readWrite && cell.columns == nil && cell.writable == ["email"])
        #expect(EffectiveRights(json: both.json) == both)
        let all = rights.effective(entity: "o", groups: [])
        #expect(all.covers(both) && !both.covers(all))
    }

    /// What a lease was issued with must be covered by what is allowed now.
    @Test func everyWayToShrinkIsSeen() {
        let table = Self.table("t")
        func rights(_ level: ConnectionLevel, _ columns: [SQLName]?, _ masked: [SQLName] = []) -> EffectiveRights {
            EffectiveRights(level: .read, cells: [table: .init(level: level, columns: columns, masked: masked)])
        }
        let some = rights(.readWrite, ["a", "b"])
        #expect(some.covers(some))
        #expect(!rights(.read, ["a", "b"]).covers(some))
        #expect(!rights(.readWrite, ["a"]).covers(some))
        #expect(rights(.readWrite, nil).covers(some))
        #expect(!some.covers(rights(.readWrite, nil)))
        #expect(!rights(.readWrite, nil, ["b"]).covers(some))
        #expect(rights(.readWrite, nil, ["c"]).covers(some))
        #expect(rights(.readWrite, nil, ["b"]).covers(rights(.readWrite, ["a", "b"], ["b"])))
        #expect(!EffectiveRights.nothing.covers(some))
        #expect(some.covers(EffectiveRights(level: .read)))
        #expect(!some.covers(EffectiveRights(level: .owner)))
    }

    /// Who only finds a connection reads what it offers; a person's none still wins.
    @Test func theAudienceReads() {
        var rights = ConnectionRights(owner: "o", audience: .group("finance"))
        rights.tables = [Self.rule("t", .readWrite)]
        rights.grants = [ConnectionGrant(subject: .entity("ahmed"), level: .none)]
        #expect(rights.effective(entity: "x", groups: ["finance"]).cells[Self.table("t")]?.level == .read)
        #expect(rights.effective(entity: "x", groups: []) == .nothing)
        #expect(rights.effective(entity: "ahmed", groups: ["finance"]) == .nothing)
        rights.audience = .organisation
        #expect(rights.effective(entity: "x", groups: []).level == .read)
        #expect(ConnectionRights(json: rights.json) == rights)
    }

    /// The short way to the level, for lists, says what the long one says.
    @Test func theLevelAloneIsThatOfTheRights() {
        var random = SeededGenerator(11)
        let levels: [ConnectionLevel] = [.none, .read, .readWrite, .owner]
        let subjects: [ConnectionGrant.Subject] = [
            .entity("a"), .entity("b"), .group("x"), .group("y"), .organisation,
        ]
        for _ in 0..<5000 {
            var rights = ConnectionRights(owner: ["a", "b", ""].randomElement(using: &random) ?? "")
            rights.audience = Bool.random(using: &random) ? subjects[2...].randomElement(using: &random) : nil
            rights.tables = [Self.rule("t", .read)]
            rights.isReadOnly = Bool.random(using: &random)
            rights.grants = subjects.shuffled(using: &random).prefix(Int.random(in: 0...4, using: &random)).map {
                ConnectionGrant(subject: $0, level: levels.randomElement(using: &random) ?? .none)
            }
            for entity in ["a", "b", "c", ""] {
                for groups in [[], ["x"], ["x", "y"]] as [Set<String>] {
                    let found = rights.level(entity: entity, groups: groups)
                    #expect(found == rights.effective(entity: entity, groups: groups).level, "\(rights) \(entity)")
                }
            }
        }
    }

    @Test func tablesWithNamesThatLookTheSameAreDifferent() {
        let one = TableName(schema: "public", name: "caf\u{e9}")
        let other = TableName(schema: "public", name: "cafe\u{301}")
        #expect(one != other)
        #expect(Set([one, other]).count == 2)
    }
}
