import Testing

/// One command line with what it prints, how it ends and what it asks the daemon.
struct Story: Sendable, CustomTestStringConvertible {
    var arguments: [String]
    var input = ""
    var environment: [String: String] = [:]
    var output = ""
    var errors = ""
    var status: Int32 = 0
    /// Request lines and bodies, in order; nil when it does not matter.
    var requests: [String]?

    init(
        _ arguments: String...,
        input: String = "",
        environment: [String: String] = [:],
        output: String = "",
        errors: String = "",
        status: Int32 = 0,
        requests: [String]? = nil
    ) {
        self.arguments = arguments
        self.input = input
        self.environment = environment
        self.output = output
        self.errors = errors
        self.status = status
        self.requests = requests
    }

    var testDescription: String { arguments.joined(separator: " ") }

    static let preflight = "GET /v1/sys/internal/ui/mounts/secret/app "

    static let routes: [String: FakeDaemon.Reply] = [
        "GET /v1/sys/seal-status": .json(
            200,
            #"{"type":"shamir","initialized":true,"sealed":true,"t":3,"n":5,"progress":1,"version":"1"}"#
        ),
        "PUT /v1/sys/unseal": .json(
            200,
            #"{"type":"shamir","initialized":true,"sealed":false,"t":3,"n":5,"progress":0,"version":"1"}"#
        ),
        "GET /v1/sys/internal/ui/mounts/secret/app": .json(
            200,
            #"{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}"#
        ),
        "GET /v1/sys/internal/ui/mounts/secret": .json(
            200,
            #"{"data":{"path":"secret/","type":"kv","options":{"version":"2"}}}"#
        ),
        "GET /v1/sys/internal/ui/mounts/old/x": .json(200, #"{"data":{"path":"old/","type":"kv","options":null}}"#),
        "GET /v1/sys/internal/ui/mounts/database/creds/r": .json(
            200,
            #"{"data":{"path":"database/","type":"database","options":null}}"#
        ),
        "GET /v1/secret/data/app": .json(
            200,
            #"{"data":{"data":{"password":"p\u001b[31mw","n":1.50},"metadata":{"version":2,"created_time":"T"}}}"#
        ),
        "PUT /v1/secret/data/app": .json(200, #"{"data":{"version":3,"created_time":"T"}}"#),
        "GET /v1/secret/metadata?list=true": .json(200, #"{"data":{"keys":["app","b/"]}}"#),
        "GET /v1/database/creds/r": .json(
            200,
            #"{"lease_id":"database/creds/r/1","lease_duration":3600,"renewable":true,"data":{"username":"u","password":"p"}}"#
        ),
        "PUT /v1/sys/leases/revoke": .json(204, ""),
        "PUT /v1/cubbyhole/x": .json(204, ""),
        "GET /v1/forbidden": .json(403, #"{"errors":["1 error occurred:\n\t* permission denied\n\n"]}"#),
        "GET /v1/sealed": .json(503, #"{"errors":["Vault is sealed"]}"#),
        "GET /v1/policy": .json(200, #"{"data":{"b":"1"},"warnings":["mind the \u001b]0;gap"]}"#),
    ]

    static let all: [Story] = [
        Story(
            "status",
            output: """
                Key           Value
                State         sealed
                Initialised   yes
                Seal type     shamir
                Shares        3/5
                Shares given  1/3
                Version       1

                """,
            status: 2,
            requests: ["GET /v1/sys/seal-status "]
        ),
        Story(
            "operator",
            "unseal",
            input: "c2hhcmU=\n",
            output: """
                Key          Value
                State        unsealed
                Initialised  yes
                Seal type    shamir
                Shares       3/5
                Version      1

                """,
            requests: ["GET /v1/sys/seal-status ", #"PUT /v1/sys/unseal {"key":"c2hhcmU="}"#]
        ),
        Story(
            "kv",
            "get",
            "secret/app",
            output: """
                Version 2, written T

                Key       Value
                password  p\\u{1B}[31mw
                n         1.50

                """
        ),
        Story(
            "kv",
            "get",
            "--lang",
            "fr",
            "app",
            output: """
                Version 2, écrite le T

                Clé       Valeur
                password  p\\u{1B}[31mw
                n         1.50

                """,
            requests: [preflight, "GET /v1/secret/data/app "]
        ),
        Story("kv", "get", "--field", "password", "app", output: "p\u{1b}[31mw"),
        Story("kv", "get", "--field", "n", "app", output: "1.50"),
        Story("kv", "get", "--field", "x", "app", errors: "coffre: there is no field x\n", status: 4),
        Story(
            "kv",
            "get",
            "old/x",
            errors: "coffre: old/ is not a key/value engine of version 2: use read, write, list or delete\n",
            status: 64
        ),
        Story("kv", "list", "secret", output: "app\nb/\n"),
        Story("kv", "list", "secret", "--format", "json", output: "[\n  \"app\",\n  \"b/\"\n]\n"),
        Story(
            "kv",
            "put",
            "app",
            "password=-",
            input: "hunter2",
            output: "Version 3, written T\n",
            requests: [preflight, #"PUT /v1/secret/data/app {"options":{},"data":{"password":"hunter2"}}"#]
        ),
        Story(
            "kv",
            "put",
            "--cas",
            "2",
            "app",
            "-",
            input: #" {"n" : 1.0e3}"# + "\n",
            output: "Version 3, written T\n",
            requests: [preflight, #"PUT /v1/secret/data/app {"options":{"cas":2},"data": {"n" : 1.0e3}"# + "\n}"]
        ),
        Story(
            "kv",
            "put",
            "app",
            "password=hunter2",
            errors: """
                coffre: the value of password would be visible to every process of this machine (ps, /proc). Type instead
                  password=-        to be asked for it, or to pipe it in
                  password=@FILE    to read it from a file
                or add --insecure-argv if it is no secret

                """,
            status: 64,
            requests: []
        ),
        Story(
            "kv",
            "put",
            "--insecure-argv",
            "app",
            "user=\\@bob",
            output: "Version 3, written T\n",
            requests: [preflight, #"PUT /v1/secret/data/app {"options":{},"data":{"user":"@bob"}}"#]
        ),
        Story(
            "kv",
            "put",
            "app",
            "hunter2",
            errors: "coffre: give data as NAME=-, NAME=@FILE, or one @FILE or - that holds a whole JSON object\n",
            status: 64,
            requests: []
        ),
        Story(
            "kv",
            "put",
            "app",
            "a=-",
            "b=-",
            errors: "coffre: standard input can be read once, and both a=- and b=- want it\n",
            status: 64,
            requests: []
        ),
        Story(
            "kv",
            "put",
            "app",
            "a=-",
            input: "line\n",
            output: "Version 3, written T\n",
            errors: "coffre: note: the value of a ends with a line feed, which is kept\n",
            requests: [preflight, #"PUT /v1/secret/data/app {"options":{},"data":{"a":"line\n"}}"#]
        ),
        Story(
            "write",
            "cubbyhole/x",
            "ttl=1h",
            "connection_url=postgresql://{{username}}:{{password}}@h/d",
            output: "Written: cubbyhole/x\n",
            requests: [
                #"PUT /v1/cubbyhole/x {"ttl":"1h","connection_url":"postgresql://{{username}}:{{password}}@h/d"}"#
            ]
        ),
        Story("write", "--force", "cubbyhole/x", output: "Written: cubbyhole/x\n", requests: ["PUT /v1/cubbyhole/x "]),
        Story("write", "cubbyhole/x", "a=1", "--format", "json", requests: [#"PUT /v1/cubbyhole/x {"a":"1"}"#]),
        Story(
            "read",
            "forbidden",
            errors: "coffre: not allowed: 1 error occurred: * permission denied\n",
            status: 3
        ),
        Story(
            "read",
            "forbidden",
            environment: ["VAULT_TOKEN": "s.x", "LC_ALL": "fr_FR.UTF-8"],
            errors: "coffre: accès refusé (jeton de $VAULT_TOKEN) : 1 error occurred: * permission denied\n",
            status: 3
        ),
        Story(
            "read",
            "sealed",
            errors: "coffre: the vault is sealed; open it with: coffre operator unseal\n",
            status: 2
        ),
        Story("read", "absent", errors: "coffre: nothing there\n", status: 4),
        Story("read", "a/../b", errors: "coffre: the path contains a . or .. segment\n", status: 64, requests: []),
        Story(
            "read",
            "policy",
            output: "Key  Value\nb    1\n",
            errors: "coffre: warning: mind the \\u{1B}]0;gap\n"
        ),
        Story(
            "status",
            "--socket",
            "/nonexistent/s.sock",
            errors: "coffre: /nonexistent/s.sock does not exist: is coffred running?\n",
            status: 69
        ),
        Story(
            "run",
            "--env",
            "U=database/creds/r#username",
            "--env",
            "P=database/creds/r#password",
            "--",
            "sh",
            "-c",
            "echo $U $P; exit 7",
            output: "u p\n",
            status: 7,
            requests: [
                "GET /v1/sys/internal/ui/mounts/database/creds/r ", "GET /v1/database/creds/r ",
                #"PUT /v1/sys/leases/revoke {"lease_id":"database/creds/r/1","sync":true}"#,
            ]
        ),
        Story(
            "run",
            "--env",
            "U=database/creds/r#username",
            "--env",
            "N=secret/app#none",
            "--",
            "echo",
            "never",
            errors: "coffre: secret/app has no field none\n",
            status: 4,
            requests: [
                "GET /v1/sys/internal/ui/mounts/database/creds/r ", "GET /v1/database/creds/r ", preflight, preflight,
                "GET /v1/secret/data/app ",
                #"PUT /v1/sys/leases/revoke {"lease_id":"database/creds/r/1","sync":true}"#,
            ]
        ),
        Story(
            "run",
            "--env",
            "U=database/creds/r#username",
            "--",
            "/nonexistent/program",
            errors: "coffre: /nonexistent/program: No such file or directory\n",
            status: 127,
            requests: [
                "GET /v1/sys/internal/ui/mounts/database/creds/r ", "GET /v1/database/creds/r ",
                #"PUT /v1/sys/leases/revoke {"lease_id":"database/creds/r/1","sync":true}"#,
            ]
        ),
        Story(
            "run",
            "--file",
            "F=secret/app#n",
            "--",
            "sh",
            "-c",
            "stat -c %a $F $(dirname $F); cat $F",
            output: "600\n700\n1.50"
        ),
        Story("run", "--", "sh", "-c", "kill -9 $$", status: 137, requests: []),
        Story(
            "run",
            "--",
            "sh",
            "-c",
            "echo ${VAULT_TOKEN-none}",
            environment: ["VAULT_TOKEN": "s.x"],
            output: "none\n"
        ),
        Story(
            "run",
            "--keep-token",
            "--",
            "sh",
            "-c",
            "echo $VAULT_TOKEN",
            environment: ["VAULT_TOKEN": "s.x"],
            output: "s.x\n"
        ),
    ]
}
