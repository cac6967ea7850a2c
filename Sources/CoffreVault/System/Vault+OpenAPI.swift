internal import CoffreAudit
internal import CoffreWire

extension Vault {
    /// `sys/internal/specs/openapi`: what is served, with the mounts that there are.
    func openAPIEndpoint(_ context: RequestContext) -> Endpoint {
        let what = AuditWhat(path: "sys/internal/specs/openapi")
        guard context.verb == .get || context.verb == .write else { return .unsupported(what, .read) }
        return .read(.sysRead, what, .caller) { vault, context in
            guard let table = vault.unsealed?.mounts, let acl = context.caller?.acl else { throw VaultError.sealed }
            // What a caller has no right under is not shown, as with the list of mounts.
            let visible = table.mounts.filter { acl.hasAnyCapability(underMount: Array($0.path.utf8)) }
            return Effect(.raw(vault.openAPI(visible)))
        }
    }

    private func openAPI(_ mounts: [Mount]) -> JSONValue {
        var paths = Route.system.map { Self.pathItem($0, below: "") }
        for mount in mounts.sorted(by: { $0.path < $1.path }) {
            paths += Route.of(mount).map { Self.pathItem($0, below: mount.path) }
        }
        return [
            "openapi": "3.0.2",
            "info": [
                "title": "Coffre", "description": "HTTP API of coffred on its Unix socket. All paths lie below /v1.",
                "version": .string(configuration.version),
            ],
            "paths": .object(paths),
        ]
    }

    private static func pathItem(_ route: Route, below mount: String) -> JSONValue.Member {
        var members: [JSONValue.Member] = []
        let names = route.path.split(separator: "{").dropFirst().map { String($0.prefix { $0 != "}" }) }
        if !names.isEmpty {
            let parameters = names.map { name -> JSONValue in
                ["name": .string(name), "in": "path", "required": .bool(true), "schema": ["type": "string"]]
            }
            members.append(.init("parameters", .array(parameters)))
        }
        if route.needsSudo { members.append(.init("x-vault-sudo", .bool(true))) }
        if route.isOpen { members.append(.init("x-vault-unauthenticated", .bool(true))) }
        for verb in ["get", "post", "patch", "delete"] {
            let lists = verb == "get" && route.verbs.contains("list")
            guard route.verbs.contains(verb) || lists else { continue }
            var operation: [JSONValue.Member] = [.init("summary", .string(route.summary))]
            if lists {
                let query: JSONValue = [
                    "name": "list", "in": "query", "required": .bool(!route.verbs.contains("get")),
                    "schema": ["type": "string", "enum": .strings(["true"])],
                ]
                operation.append(.init("parameters", .array([query])))
            }
            if verb == "post" || verb == "patch" {
                let type = verb == "post" ? "application/json" : "application/merge-patch+json"
                operation.append(
                    .init(
                        "requestBody",
                        ["content": .object([.init(type, ["schema": ["type": "object"]])])]
                    )
                )
            }
            let answer: JSONValue = ["description": "OK"]
            operation.append(.init("responses", .object([.init("200", answer), .init("204", answer)])))
            members.append(.init(verb, .object(operation)))
        }
        return .init("/" + mount + route.path, .object(members))
    }

    /// `?help=1` on any path: the routes that begin like it.
    func helpEndpoint(_ context: RequestContext, _ state: UnsealedState) -> Endpoint? {
        guard context.verb == .get, let value = context.query("help"), GoBool.parse(value) ?? false else { return nil }
        let path = context.pathText
        return .read(.sysRead, AuditWhat(path: "sys/internal/specs/openapi"), .caller) { vault, context in
            guard let acl = context.caller?.acl, let table = vault.unsealed?.mounts else { throw VaultError.sealed }
            let mount = table.mount(of: context.path)
            if let mount, !acl.hasAnyCapability(underMount: Array(mount.path.utf8)) {
                throw VaultError.permissionDenied
            }
            let prefix = mount?.path ?? ""
            let routes = mount.map { Route.of($0) } ?? Route.system
            let first = path.dropFirst(prefix.count).split(separator: "/").first.map(String.init) ?? ""
            let shown = routes.filter {
                mount != nil && first.isEmpty || ($0.path + "/").hasPrefix(mount == nil ? path : first)
            }
            guard !shown.isEmpty else { throw VaultError.notFound }
            let lines = shown.map { route in
                "    \(route.verbs.map { $0.uppercased() }.joined(separator: ",")) /\(prefix)\(route.path)\n        \(route.summary)"
            }
            let text = "Request:        \(path)\n\n" + lines.joined(separator: "\n") + "\n"
            return Effect(
                .raw([
                    "help": .string(text), "see_also": .null,
                    "openapi": vault.openAPI(mount.map { [$0] } ?? []),
                ])
            )
        }
    }
}
