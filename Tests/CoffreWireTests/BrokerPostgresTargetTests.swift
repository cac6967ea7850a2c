import CoffreWire
import Testing

@Suite struct BrokerPostgresTargetTests {
    @Test(arguments: [
        "postgresql://{{username}}:{{password}}@db.example:6000/app?sslmode=require",
        "postgres://{{username}}:{{password}}@db.example:6000/app?sslmode=require",
        "postgres://db.example:6000/app?sslmode=require",
        "postgres://{{username}}@db.example:6000/%61pp?sslmode=require",
        "host=db.example port=6000 dbname=app user={{username}} password={{password}} sslmode=require",
        "host = db.example  port='6000' dbname=a\\pp sslmode = 'require' ",
    ])
    func bothFormsNameTheSameServer(text: String) throws {
        let target = try PostgresTarget(connectionURL: text)
        #expect(target.host == "db.example")
        #expect(target.port == 6000)
        #expect(target.database == "app")
        #expect(target.tls == .require)
        #expect(target.rootCertificatePath == nil)
    }

    @Test func whatIsLeftOutIsSafe() throws {
        let target = try PostgresTarget(connectionURL: "postgresql://{{username}}:{{password}}@[2001:db8::1]/app")
        #expect(target.host == "2001:db8::1")
        #expect(target.port == 5432)
        #expect(target.tls == .verifyFull)
        #expect(target.minimumTLS == .tls13)
    }

    @Test func optionsAreRead() throws {
        let text = "postgres://h/d?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem&ssl_min_protocol_version=TLSv1.2"
        let target = try PostgresTarget(connectionURL: text)
        #expect(target.rootCertificatePath == "/etc/ca.pem")
        #expect(target.minimumTLS == .tls12)
        #expect(try PostgresTarget(connectionURL: "postgres://h/d?sslmode=disable").tls == .disable)
        #expect(try PostgresTarget(connectionURL: "host=::1 dbname='my db'").database == "my db")
        #expect(try PostgresTarget(connectionURL: "host=h dbname=d sslrootcert=system").rootCertificatePath == nil)
    }

    @Test(arguments: [
        "postgres://admin:{{password}}@h/d", "postgres://{{username}}:hunter2@h/d", "postgres://h/d?password=hunter2",
        "host=h dbname=d password=hunter2", "host=h dbname=d user=admin", "host=h dbname=d password=''",
        "postgres://%7B%7Busername%7D%7D@h/d",
        "", "postgres://", "postgres://h", "postgres://h/", "postgres:///d", "mysql://h/d", "h/d", "host=h",
        "host=/var/run/postgresql dbname=d", "host=@abstract dbname=d", "postgres://%2Fvar%2Frun/d", "dbname=d",
        "postgres://h,i/d", "postgres://h:1,i:2/d", "host=h,i dbname=d", "host=h port=1,2 dbname=d",
        "postgres://h:0/d", "postgres://h:65536/d", "postgres://h:x/d", "postgres://h:/d", "postgres://h:+1/d",
        "postgres://::1/d", "postgres://[::1/d", "postgres://[::1]x/d", "postgres://[h]/d",
        "postgres://h/d?sslmode=prefer", "postgres://h/d?sslmode=allow", "postgres://h/d?sslmode=verify-ca",
        "postgres://h/d?sslmode=", "postgres://h/d?sslmode", "postgres://h/d?sslmode=require&sslmode=disable",
        "postgres://h/d?options=-csearch_path%3Dx", "postgres://h/d?service=x", "postgres://h/d?passfile=/x",
        "postgres://h/d?sslkey=/x", "postgres://h/d?host=/tmp", "postgres://h/d?hostaddr=127.0.0.1",
        "postgres://h/d?sslrootcert=ca.pem", "postgres://h/d?ssl_min_protocol_version=TLSv1",
        "host=h dbname=d options=x", "host=h dbname=d host=i", "host=h dbname='d", "host=h dbname='d'x",
        "host=h dbname=d\\", "postgres://h/%zz", "postgres://h/%0", "postgres://h/%00", "postgres://h/a%0ab",
        "postgres://h/%ff", "postgres://h/d\n", "postgres://h b/d", "postgres://-h/d", "postgres://h-/d",
        "postgres://a..b/d", "postgres://h/" + String(repeating: "d", count: 64), "postgres://é/d",
        "postgres://h/d#f?sslmode=x", "postgres://" + String(repeating: "h", count: 5000) + "/d",
    ])
    func everythingElseIsRefusedWithoutRepeatingIt(text: String) {
        let error = #expect(throws: PostgresTargetError.self) { try PostgresTarget(connectionURL: text) }
        #expect(error?.message.isEmpty == false)
        #expect(error?.message.contains("hunter2") == false)
    }

    @Test func aLiteralPasswordIsSentToItsField() {
        let error = #expect(throws: PostgresTargetError.self) {
            try PostgresTarget(connectionURL: "postgres://{{username}}:hunter2@h/d")
        }
        #expect(error?.message.contains("put the password into the field password") == true)
    }

    @Test func noBytesMakeTheParserTrap() {
        let seeds = [
            "postgresql://{{username}}:{{password}}@[::1]:5432/db?sslmode=disable&sslrootcert=%2Fx",
            "host='a\\'b' port=1 dbname=d user={{username}} sslmode=require",
        ].map { Array($0.utf8) }
        let special = Array("@:/?&=%[]'\\ ,#{}".utf8)
        var state: UInt64 = 1
        for round in 0..<20_000 {
            var bytes = seeds[round % 2]
            for _ in 0..<3 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                let place = Int(state >> 33) % bytes.count
                let byte = special[Int(state >> 20 & 0xff) % special.count]
                if state >> 62 == 0 { bytes.insert(byte, at: place) } else { bytes[place] = byte }
            }
            let text = String(decoding: bytes, as: UTF8.self)
            if let target = try? PostgresTarget(connectionURL: text) {
                #expect(!target.host.isEmpty && !target.host.contains("/") && !target.host.contains(","))
                #expect(!target.database.isEmpty && target.port > 0)
            }
        }
    }
}
