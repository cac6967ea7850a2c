/// What is served, in the words of `sys/internal/specs/openapi`. A test walks it against a running vault.
struct Route: Sendable {
    /// `get`, `post`, `patch`, `delete`; LIST is `get` with `list=true`, as OpenAPI has no such verb.
    let verbs: [String]
    /// With `{name}` for what varies.
    let path: String
    let summary: String
    let needsSudo: Bool
    /// Works without a token, for anybody or for operators by uid.
    let isOpen: Bool

    /// `GET,LIST path [sudo] [open] : summary`
    private init?(_ line: Substring) {
        let halves = line.split(separator: " : ", maxSplits: 1)
        guard halves.count == 2 else { return nil }
        let words = halves[0].split(separator: " ")
        guard words.count >= 2 else { return nil }
        verbs = words[0].split(separator: ",").map { $0.lowercased() }
        path = String(words[1])
        needsSudo = words.contains("sudo")
        isOpen = words.contains("open")
        summary = String(halves[1])
    }

    private static func read(_ text: String) -> [Route] { text.split(separator: "\n").compactMap { Route($0) } }

    /// Routes that belong to no mount of the table.
    static let system = read(
        """
        GET sys/health open : State of the vault
        GET sys/seal-status open : Whether the vault is sealed
        GET sys/leader open : This node, which is the only one
        GET,POST sys/init open : Whether the vault is made; make it (operators)
        POST sys/unseal open : Give a share (operators)
        POST sys/seal sudo : Seal the vault
        GET,POST,DELETE sys/rotate/root/init open : Begin or cancel new unseal shares (operators)
        POST sys/rotate/root/update open : Give a present share
        GET,POST,DELETE sys/rotate/root/verify open : Prove the new shares
        GET,POST,DELETE sys/rotate/recovery/init open : Begin or cancel new recovery shares (operators)
        POST sys/rotate/recovery/update open : Give a present share
        GET,POST,DELETE sys/rotate/recovery/verify open : Prove the new shares
        GET,POST,DELETE sys/rekey/init open : As sys/rotate/root/init
        POST sys/rekey/update open : As sys/rotate/root/update
        GET,POST,DELETE sys/rekey/verify open : As sys/rotate/root/verify
        GET,POST,DELETE sys/rekey-recovery-key/init open : As sys/rotate/recovery/init
        POST sys/rekey-recovery-key/update open : As sys/rotate/recovery/update
        GET,POST,DELETE sys/rekey-recovery-key/verify open : As sys/rotate/recovery/verify
        GET,POST,DELETE sys/generate-root/attempt open : Begin or cancel a root token (operators)
        POST sys/generate-root/update open : Give a share for it
        GET,POST,DELETE sys/generate-root-token/attempt open : As sys/generate-root/attempt
        POST sys/generate-root-token/update open : As sys/generate-root/update
        POST sys/restore/confirm open : End hold mode (operators)
        GET sys/restore/status open : What differs after a restore (operators)
        GET sys/key-status : The current barrier key
        POST sys/rotate sudo : A new barrier key
        POST sys/rotate/keyring sudo : A new barrier key
        GET,POST sys/rotate/config sudo : When a barrier key is replaced by itself
        GET,POST sys/rotate/keyring/config sudo : As sys/rotate/config
        GET sys/mounts : List the engines
        GET,POST,DELETE sys/mounts/{path} : Show, enable or disable an engine
        GET,POST sys/mounts/{path}/tune : Settings of an engine
        GET sys/auth : List the auth methods
        GET,POST,DELETE sys/auth/{path} sudo : Show, enable or disable an auth method
        GET,POST sys/auth/{path}/tune sudo : Settings of an auth method
        POST sys/remount sudo : Move a mount
        GET sys/remount/status/{id} : Whether a mount has moved
        GET,LIST sys/policies/acl : List the policies
        GET,POST,DELETE sys/policies/acl/{name} : Read, write or remove a policy
        GET,LIST sys/policy : List the policies, as older clients do
        GET,POST,DELETE sys/policy/{name} : A policy, as older clients do
        LIST sys/policies/password : List the password policies
        GET,POST,DELETE sys/policies/password/{name} : A password policy
        GET sys/policies/password/{name}/generate : A password made by it
        POST sys/policies/who-can sudo : Who has a right on a path
        POST sys/policies/why : Which rule decides
        POST sys/capabilities-self : One's own rights on paths
        POST sys/capabilities : The rights of a token
        POST sys/capabilities-accessor : The rights of a token, by its accessor
        GET,LIST sys/decoys sudo : List the decoys
        GET,POST,DELETE sys/decoys/{path} sudo : A secret that is bait
        GET sys/leases sudo : Leases that cannot be taken back
        POST sys/leases/lookup : A lease
        LIST sys/leases/lookup/{prefix} sudo : Leases below a path
        POST sys/leases/renew : Renew a lease
        POST sys/leases/revoke : Revoke a lease
        POST sys/leases/revoke-prefix/{prefix} sudo : Revoke every lease below a path
        POST sys/leases/revoke-force/{prefix} sudo : Forget every lease below a path
        POST sys/leases/tidy : Look for leases that should have ended
        POST sys/wrapping/wrap : Wrap what is sent
        POST sys/wrapping/unwrap open : Open a wrapped answer
        GET,POST sys/wrapping/lookup open : What is known of a wrapped answer
        POST sys/wrapping/rewrap open : A new token for a wrapped answer
        GET sys/audit sudo : The audit log
        GET sys/audit/status : State of the audit log
        GET sys/audit/log : Look records of the audit log up
        GET sys/audit/why/{number} : Why a request was decided as it was, and whether it would be today
        POST sys/audit/verified : Record that the audit log was read or verified where it lies
        GET,POST sys/audit/prune sudo : Delete what is older than the retention, or say what would be
        GET,LIST,POST sys/audit/holds sudo : Holds on the audit log; put one in force
        DELETE sys/audit/holds/{id} sudo : End a hold
        GET,LIST sys/anomalies : Incidents: who behaves unlike itself, and why
        GET sys/anomalies/status : How far the watch has read, and what it told whom
        GET,LIST,POST sys/anomalies/mutes : Alerts that nobody wants for a while
        DELETE sys/anomalies/mutes/{number} : End a mute
        GET sys/anomalies/{number} : One incident with its findings
        POST sys/anomalies/{number}/ack : Say that somebody looks after it
        POST sys/anomalies/{number}/close : Say what was found out
        GET,POST sys/audit/subject/{sid} sudo : Whose pseudonym it is; put that right
        POST sys/audit/erase sudo : Erase the card that resolves a pseudonym
        POST sys/audit/export : Record that a part of the audit log is handed out
        POST sys/audit-hash/{path} : The digest that stands in the log for a text
        GET,POST sys/storage/snapshot sudo : A consistent copy of the storage
        GET sys/metrics : Counters, also as Prometheus text
        GET sys/ha-status : This node, which is the only one
        LIST sys/version-history : The version
        GET sys/config/cors sudo : CORS, which is off
        GET sys/config/auditing/request-headers sudo : Headers in the log: none
        POST sys/tools/random : Random bytes
        POST sys/tools/random/{bytes} : Random bytes
        POST sys/tools/hash : A digest
        POST sys/tools/hash/{algorithm} : A digest
        GET sys/internal/ui/mounts open : Mounts that the caller may see
        GET sys/internal/ui/mounts/{path} : The mount of a path
        GET sys/internal/ui/resultant-acl : The caller's rights, for interfaces
        GET sys/internal/specs/openapi : This description
        POST identity/entity : Make or change a person or service
        LIST identity/entity/id : List people and services
        GET,POST,DELETE identity/entity/id/{id} : A person or service
        LIST identity/entity/name : List them by name
        GET,POST,DELETE identity/entity/name/{name} : A person or service, by name
        POST identity/entity/batch-delete : Remove several
        POST identity/entity/merge : Make one of several
        POST identity/entity-alias : A name by which an auth method knows somebody
        LIST identity/entity-alias/id : List these names
        GET,POST,DELETE identity/entity-alias/id/{id} : Such a name
        POST identity/group : Make or change a team
        LIST identity/group/id : List teams
        GET,POST,DELETE identity/group/id/{id} : A team
        LIST identity/group/name : List teams by name
        GET,POST,DELETE identity/group/name/{name} : A team, by name
        POST identity/group-alias : A name by which an auth method knows a team
        LIST identity/group-alias/id : List these names
        GET,POST,DELETE identity/group-alias/id/{id} : Such a name
        POST identity/lookup/entity : Find a person or service
        POST identity/lookup/group : Find a team
        GET,LIST connectors/catalogue : Every system that a connection can be made to
        GET connectors/catalogue/{type} : The form of one, as JSON Schema
        LIST connectors/connections : List the connections that you may use
        GET,POST,DELETE connectors/connections/{name} : A connection to a database or service
        GET connectors/connections/{name}/consequences : Who would miss it
        POST connectors/connections/{name}/disable : Let nobody use it
        POST connectors/connections/{name}/enable : Let it be used again
        GET,POST connectors/connections/{name}/permissions : Who may do what with it
        POST connectors/connections/{name}/reconcile : Hold its server against its leases
        POST connectors/connections/{name}/restore : Make a new one of a deleted one
        POST connectors/connections/{name}/rotate : Change its stored passwords now
        GET connectors/connections/{name}/stats : What it was used for, as far as its server counts
        POST connectors/connections/{name}/test : Try it
        GET connectors/creds/{name} : A login with your rights
        POST connectors/oauth/start : Begin a consent, or connect in the client's own name
        POST connectors/oauth/complete : Hand in what the provider sent back
        POST connectors/oauth/device : Whether the person has answered on the other device
        GET connectors/rotations : Age and due date of stored passwords
        LIST connectors/approvals : Uses that wait for a second person
        GET connectors/approvals/{accessor} : Such a use
        POST connectors/approvals/{accessor}/approve : Agree to it
        POST connectors/approvals/{accessor}/deny : Refuse it
        POST sys/control-group/authorize : As approve
        POST sys/control-group/request : Whether it was decided
        LIST cubbyhole/ : List what the token keeps for itself
        GET,LIST,POST,DELETE cubbyhole/{path} : What the token keeps for itself
        """
    )

    /// Routes of a mount, below its path.
    static func of(_ mount: Mount) -> [Route] {
        switch mount.type {
        case .kv: mount.isVersioned ? versioned : versionOne
        case .database: database
        case .transit: transit
        case .token: token
        case .peer: peer
        case .approle: appRole
        case .jwt: jwt
        }
    }

    private static let versioned = read(
        """
        GET,POST config : Limits of all secrets
        GET,POST,PATCH,DELETE data/{path} : A version of a secret
        GET,LIST,POST,PATCH,DELETE metadata/{path} : A secret with all its versions
        LIST metadata/ : List secrets
        LIST detailed-metadata/ : List secrets with their descriptions
        LIST detailed-metadata/{path} : List secrets with their descriptions
        GET subkeys/{path} : The names in a secret
        POST delete/{path} : Delete versions
        POST undelete/{path} : Take deleted versions back
        POST destroy/{path} : Erase versions
        """
    )

    private static let versionOne = read("GET,LIST,POST,DELETE {path} : A secret\nLIST / : List secrets")

    private static let database = read(
        """
        LIST config : List the databases
        GET,POST,DELETE config/{name} : A database
        LIST roles : List the roles
        GET,POST,DELETE roles/{name} : A role
        GET creds/{name} : A login made for this request
        LIST static-roles : List the static roles
        GET,POST,DELETE static-roles/{name} : A login that is there, whose password is rotated
        GET static-creds/{name} : Its password
        POST rotate-role/{name} : Rotate it now
        POST rotate-root/{name} : Rotate the administrator's password
        POST reset/{name} : Connect anew
        """
    )

    private static let transit = read(
        """
        LIST keys : List the keys
        GET,POST,DELETE keys/{name} : A key
        POST keys/{name}/rotate : A new version
        POST keys/{name}/config : Which versions count
        POST keys/{name}/trim : Erase old versions
        POST encrypt/{name} : Encrypt
        POST decrypt/{name} : Decrypt
        POST rewrap/{name} : Encrypt anew under the newest version
        POST sign/{name} : Sign
        POST sign/{name}/{algorithm} : Sign
        POST verify/{name} : Verify a signature or code
        POST verify/{name}/{algorithm} : Verify a signature or code
        POST hmac/{name} : An authentication code
        POST hmac/{name}/{algorithm} : An authentication code
        POST datakey/{kind}/{name} : A key for use elsewhere
        POST random : Random bytes
        POST random/{bytes} : Random bytes
        POST hash : A digest
        POST hash/{algorithm} : A digest
        """
    )

    private static let token = read(
        """
        POST create : A token
        POST create-orphan : A token without parent
        POST create/{role} : A token by a role
        GET,POST lookup-self : One's own token
        POST lookup : A token
        POST lookup-accessor : A token, by its accessor
        LIST accessors sudo : List the accessors
        POST renew-self : Renew one's own token
        POST renew : Renew a token
        POST renew-accessor : Renew a token, by its accessor
        POST revoke-self : Revoke one's own token
        POST revoke : Revoke a token
        POST revoke-accessor : Revoke a token, by its accessor
        POST revoke-orphan sudo : Revoke a token and keep its children
        LIST roles : List the token roles
        GET,POST,DELETE roles/{name} : A token role
        POST tidy sudo : Remove what refers to nothing
        """
    )

    private static let peer = read(
        """
        POST login open : A token for this process
        GET,LIST role : List the peer roles
        GET,POST,DELETE role/{name} : A peer role
        """
    )

    private static let appRole = read(
        """
        POST login open : A token for a role id and a secret id
        LIST role : List the roles
        GET,POST,DELETE role/{name} : A role
        GET,POST role/{name}/role-id : Its role id
        LIST,POST role/{name}/secret-id : Its secret ids
        POST role/{name}/custom-secret-id : A secret id of one's own choice
        POST role/{name}/secret-id/lookup : A secret id
        POST role/{name}/secret-id/destroy : Remove a secret id
        POST role/{name}/secret-id-accessor/lookup : A secret id, by its accessor
        POST role/{name}/secret-id-accessor/destroy : Remove a secret id, by its accessor
        GET,POST,DELETE role/{name}/policies : One field of a role
        GET,POST,DELETE role/{name}/token-ttl : One field of a role
        GET,POST,DELETE role/{name}/token-max-ttl : One field of a role
        GET,POST,DELETE role/{name}/token-num-uses : One field of a role
        GET,POST,DELETE role/{name}/period : One field of a role
        GET,POST,DELETE role/{name}/secret-id-ttl : One field of a role
        GET,POST,DELETE role/{name}/secret-id-num-uses : One field of a role
        GET,POST,DELETE role/{name}/bind-secret-id : One field of a role
        POST tidy/secret-id : Remove expired secret ids
        """
    )

    private static let jwt = read(
        """
        POST login open : A token for a token of the provider
        GET,POST config : Whose tokens are believed
        LIST keys : List the provider's keys
        POST keys/refresh : Fetch them
        GET,DELETE keys/{thumbprint} : A key
        POST keys/{thumbprint}/accept : Believe it
        LIST role : List the roles
        GET,POST,DELETE role/{name} : A role
        """
    )
}
