/// A named set of rules in Vault's language.
package struct Policy: Sendable {
    /// Largest accepted text in bytes.
    package static let maximumBytes = 262_144
    package static let maximumRules = 10_000

    package let name: String
    /// As it was written.
    package let text: String
    /// Counts the writes of this policy, from 1; records name it.
    package let version: UInt64
    package let rules: [PolicyRule]

    /// Parses HCL or JSON.
    /// - Throws: ``PolicyError``: unknown keys, unknown capabilities, what this version does not enforce.
    package init(name: String, text: String, version: UInt64) throws(PolicyError) {
        guard text.utf8.count <= Self.maximumBytes else { throw PolicyError("a policy has at most 256 KiB") }
        self.name = name
        self.text = text
        self.version = version
        rules = try PolicyReader.rules(try PolicyNode(parsing: text))
        guard rules.count <= Self.maximumRules else {
            throw PolicyError("a policy has at most \(Self.maximumRules) rules")
        }
    }

    /// The policy `default`, which every token has unless its maker leaves it out.
    package static let defaultText = """
        # What every token may do: look after itself, and after its own leases.

        path "auth/token/lookup-self" {
          capabilities = ["read", "update"]
        }
        path "auth/token/renew-self" {
          capabilities = ["update"]
        }
        path "auth/token/revoke-self" {
          capabilities = ["update"]
        }
        path "sys/capabilities-self" {
          capabilities = ["update"]
        }
        path "sys/leases/renew" {
          capabilities = ["update"]
        }
        path "sys/leases/renew/*" {
          capabilities = ["update"]
        }
        path "sys/leases/lookup" {
          capabilities = ["update"]
        }
        path "sys/leases/revoke" {
          capabilities = ["update"]
        }
        path "sys/leases/revoke/*" {
          capabilities = ["update"]
        }
        path "sys/wrapping/wrap" {
          capabilities = ["update"]
        }
        path "sys/wrapping/lookup" {
          capabilities = ["update"]
        }
        path "sys/wrapping/unwrap" {
          capabilities = ["update"]
        }
        path "cubbyhole/*" {
          capabilities = ["create", "read", "update", "delete", "list"]
        }
        path "sys/internal/ui/resultant-acl" {
          capabilities = ["read"]
        }

        """
}
