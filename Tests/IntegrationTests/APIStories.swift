/// What clients do, engine by engine.
enum APIStories {
    static let all = [
        secrets, patches, secretMetadata, secretLimits, secretsOfVersionOne, mounts, tokens, limitedTokens, batchTokens,
        tokenRoles, wrapping, cubbyhole, appRole, appRoleFields, people, teams, leases,
        transitKeys, transitCiphertexts, transitSignatures, tools,
    ]

    static let secrets = APIStory(
        "versions of a secret",
        """
        POST sys/mounts/kv {"type":"kv","options":{"version":"2"}}
        POST kv/data/a {"data":{"x":"1","n":{"y":[1,2.50,null]}}}
        POST kv/data/a {"data":{"x":"2"}}
        POST kv/data/a/b {"data":{"z":1}}
        GET kv/data/a
        GET kv/data/a?version=1
        GET kv/data/a?version=9
        GET kv/data/absent
        = POST kv/data/a {"data":{"x":1},"options":{"cas":1}}
        = POST kv/data/a {"data":{"x":1},"options":{"cas":0}}
        = POST kv/data/a {"foo":1}
        = POST kv/data/a {}
        POST kv/data/a {"data":{"x":3},"options":{"cas":2},"unknown":1}
        LIST kv/metadata
        LIST kv/metadata/a
        LIST kv/metadata/absent
        GET kv/metadata?list=true
        GET kv/metadata?list=1&limit=1
        GET kv/metadata?list=true&after=a&limit=5
        SCAN kv/metadata/
        # A folder is no secret, so nothing is told of it here.
        ~ LIST kv/detailed-metadata
        DELETE kv/data/a
        GET kv/data/a
        POST kv/undelete/a {"versions":["3"]}
        GET kv/data/a
        POST kv/delete/a {"versions":[1,3]}
        GET kv/data/a?version=1
        = POST kv/delete/a {"versions":[]}
        POST kv/destroy/a {}
        POST kv/destroy/a {"versions":[3]}
        GET kv/data/a
        POST kv/undelete/a {"versions":[3]}
        GET kv/data/a
        DELETE kv/data/absent
        POST kv/delete/absent {"versions":[1]}
        DELETE kv/metadata/a/b
        LIST kv/metadata/a
        LIST kv/metadata
        DELETE kv/metadata/a
        GET kv/data/a
        GET kv/metadata/a
        LIST kv/metadata
        GET kv/foo
        POST kv/foo {"a":1}
        LIST kv/
        """
    )

    static let patches = APIStory(
        "merge patches",
        """
        POST sys/mounts/kvp {"type":"kv","options":{"version":"2"}}
        PATCH kvp/data/a {"data":{"x":1}}
        POST kvp/data/a {"data":{"a":"1","n":{"x":1,"y":[1]},"big":12345678901234567890}}
        PATCH kvp/data/a {"data":{"a":null,"b":2,"n":{"x":null,"z":{"q":null,"r":1}}}}
        GET kvp/data/a
        = PATCH kvp/data/a {"data":{"q":1},"options":{"cas":1}}
        PATCH kvp/data/a {"data":{"q":1},"options":{"cas":2}}
        = PATCH kvp/data/a {}
        GET kvp/subkeys/a
        GET kvp/subkeys/a?depth=1
        GET kvp/subkeys/a?version=1
        GET kvp/subkeys/absent
        DELETE kvp/data/a
        PATCH kvp/data/a {"data":{"x":1}}
        GET kvp/subkeys/a
        """
    )

    static let secretMetadata = APIStory(
        "descriptions of secrets",
        """
        POST sys/mounts/kvm {"type":"kv","options":{"version":"2"}}
        POST kvm/metadata/a {"custom_metadata":{"k":"v","l":"w"},"max_versions":2,"delete_version_after":"3h25m19s"}
        GET kvm/metadata/a
        POST kvm/data/a {"data":{"a":1}}
        GET kvm/data/a
        PATCH kvm/metadata/a {"custom_metadata":{"k":null,"m":"x"},"cas_required":true}
        GET kvm/metadata/a
        = POST kvm/data/a {"data":{"a":1}}
        POST kvm/data/a {"data":{"a":1},"options":{"cas":1}}
        POST kvm/data/a {"data":{"a":1},"options":{"cas":2}}
        GET kvm/metadata/a
        GET kvm/data/a?version=1
        PATCH kvm/metadata/absent {"max_versions":1}
        PATCH kvm/metadata/a {"max_versions":null,"custom_metadata":null}
        GET kvm/metadata/a
        POST kvm/metadata/a {"custom_metadata":"x"}
        GET kvm/metadata/absent
        DELETE kvm/metadata/absent
        """
    )

    static let secretLimits = APIStory(
        "limits of a whole mount",
        """
        POST sys/mounts/kvl {"type":"kv-v2"}
        GET kvl/config
        POST kvl/config {"max_versions":2,"cas_required":true,"delete_version_after":"1h"}
        GET kvl/config
        = POST kvl/data/a {"data":{"a":1}}
        POST kvl/data/a {"data":{"a":1},"options":{"cas":0}}
        POST kvl/data/a {"data":{"a":2},"options":{"cas":1}}
        POST kvl/data/a {"data":{"a":3},"options":{"cas":2}}
        GET kvl/metadata/a
        POST kvl/config {"cas_required":false,"delete_version_after":"-1s"}
        GET kvl/config
        POST kvl/data/a {"data":{"a":4}}
        GET kvl/data/a
        """
    )

    static let secretsOfVersionOne = APIStory(
        "mounts of version 1",
        """
        POST sys/mounts/one {"type":"kv","config":{"default_lease_ttl":"2h"}}
        GET sys/internal/ui/mounts/one/x
        POST one/a {"x":"1","n":{"y":1}}
        GET one/a
        POST one/a/b {"x":"1","ttl":"30s"}
        GET one/a/b
        LIST one/
        LIST one/a
        GET one/absent
        LIST one/absent
        DELETE one/a
        GET one/a
        LIST one/
        DELETE one/absent
        = POST one/a {}
        """
    )

    static let mounts = APIStory(
        "the mount table",
        """
        POST sys/mounts/m1 {"type":"kv","description":"d","config":{"default_lease_ttl":"1h","max_lease_ttl":"2h"}}
        GET sys/mounts/m1
        GET sys/mounts/m1/tune
        = POST sys/mounts/m1 {"type":"kv"}
        = POST sys/mounts/m1/inner {"type":"kv"}
        = POST sys/mounts/sys/x {"type":"kv"}
        POST sys/mounts/m2 {"type":"nothing"}
        = POST sys/mounts/m2 {}
        POST sys/mounts/m1/tune {"max_lease_ttl":"3h","listing_visibility":"unauth","description":"e"}
        GET sys/mounts/m1/tune
        GET sys/mounts/m1
        POST m1/x {"a":1}
        POST sys/remount {"from":"m1","to":"m3"}
        … GET m3/x
        GET m1/x
        = POST sys/remount {"from":"nothing","to":"m4"}
        DELETE sys/mounts/m3
        DELETE sys/mounts/nothing
        ~ GET m3/x
        = GET sys/mounts/nothing
        = GET sys/mounts/nothing/tune
        POST sys/auth/ar1 {"type":"approle","config":{"default_lease_ttl":"1h"}}
        GET sys/auth/ar1/tune
        GET sys/auth/ar1
        POST sys/auth/ar1/tune {"token_type":"batch","default_lease_ttl":"2h"}
        GET sys/auth/ar1/tune
        POST sys/auth/ar1/tune {"token_type":"nonsense"}
        DELETE sys/auth/ar1
        """
    )

    static let tokens = APIStory(
        "tokens",
        """
        PUT sys/policies/acl/p1 {"policy":"path \\"kv/*\\" { capabilities = [\\"read\\"] }"}
        POST auth/token/create {"policies":["p1"],"ttl":"1h","meta":{"a":"b"},"display_name":"me"} -> t=auth.client_token a=auth.accessor
        @t GET auth/token/lookup-self
        POST auth/token/lookup {"token":"{t}"}
        POST auth/token/lookup-accessor {"accessor":"{a}"}
        POST auth/token/lookup-accessor {"accessor":"nothing"}
        = POST auth/token/lookup {"token":"nothing"}
        @t POST auth/token/create {"policies":["p1"]} -> c=auth.client_token
        @c GET auth/token/lookup-self
        @t POST auth/token/create {"policies":["other"]}
        @t POST auth/token/create {"policies":["p1"],"no_parent":true}
        @t POST auth/token/renew-self {}
        POST auth/token/renew {"token":"{t}","increment":"2h"}
        POST auth/token/renew-accessor {"accessor":"{a}","increment":7200}
        POST auth/token/create {"policies":["p1"],"ttl":"1h","explicit_max_ttl":"30m"} -> e=auth.client_token
        @e POST auth/token/renew-self {"increment":"5h"}
        POST auth/token/create {"policies":["p1"],"period":"10m"} -> p=auth.client_token
        @p POST auth/token/renew-self {"increment":"5h"}
        @p GET auth/token/lookup-self
        POST auth/token/create {"policies":["p1"],"renewable":false,"ttl":"5m"} -> n=auth.client_token
        = @n POST auth/token/renew-self {}
        POST auth/token/create-orphan {"policies":["p1"]} -> o=auth.client_token
        @o GET auth/token/lookup-self
        POST auth/token/create {"policies":["p1"],"no_default_policy":true} -> d=auth.client_token
        @d GET auth/token/lookup-self
        POST auth/token/revoke-orphan {"token":"{t}"}
        @c POST auth/token/lookup-self {}
        @t GET auth/token/lookup-self
        POST auth/token/revoke {"token":"{c}"}
        @c GET auth/token/lookup-self
        POST auth/token/create {"policies":["p1"]} -> x=auth.accessor
        POST auth/token/revoke-accessor {"accessor":"{x}"}
        POST auth/token/revoke-accessor {"accessor":"{x}"}
        @o POST auth/token/revoke-self
        @o GET auth/token/lookup-self
        """
    )

    static let limitedTokens = APIStory(
        "tokens with a number of uses",
        """
        POST auth/token/create {"policies":["default"],"num_uses":3,"ttl":"1h"} -> t=auth.client_token
        @t POST auth/token/create {}
        @t GET auth/token/lookup-self
        @t GET auth/token/lookup-self
        @t GET auth/token/lookup-self
        POST auth/token/create {"policies":["default"],"num_uses":1,"ttl":"1h"} -> u=auth.client_token
        @u GET secret/data/forbidden
        @u GET auth/token/lookup-self
        """
    )

    static let batchTokens = APIStory(
        "batch tokens",
        """
        POST auth/token/create {"type":"batch","policies":["default"],"ttl":"1h"} -> b=auth.client_token
        @b GET auth/token/lookup-self
        = @b POST auth/token/renew-self {}
        = @b POST auth/token/revoke-self {}
        = POST auth/token/revoke {"token":"{b}"}
        = POST auth/token/create {"type":"batch","num_uses":3}
        = POST auth/token/create {"type":"batch","period":"1h"}
        = POST auth/token/create {"type":"nothing"}
        = @b POST cubbyhole/a {"a":1}
        POST auth/token/create {"policies":["default"],"ttl":"1h"} -> p=auth.client_token
        PUT sys/policies/acl/maker {"policy":"path \\"auth/token/create\\" { capabilities = [\\"update\\"] }"}
        POST auth/token/create {"policies":["maker"],"ttl":"1h"} -> m=auth.client_token
        @m POST auth/token/create {"type":"batch","policies":["default"],"ttl":"30m"} -> c=auth.client_token
        @c GET auth/token/lookup-self
        POST auth/token/revoke {"token":"{m}"}
        @c GET auth/token/lookup-self
        """
    )

    static let tokenRoles = APIStory(
        "token roles",
        """
        LIST auth/token/roles
        GET auth/token/roles/r1
        POST auth/token/roles/r1 {"allowed_policies":"default,p1","token_period":"1h","path_suffix":"abc"}
        GET auth/token/roles/r1
        LIST auth/token/roles
        POST auth/token/create/r1 {"policies":["p2"]}
        POST auth/token/create/r1 {} -> t=auth.client_token
        # Coffre shows period and limit of the role on the token itself.
        ~ @t GET auth/token/lookup-self
        = POST auth/token/create/nothing {}
        POST auth/token/roles/r2 {"allowed_policies_glob":"a*","orphan":true,"renewable":false,"token_explicit_max_ttl":"2h"}
        POST auth/token/create/r2 {"policies":["abc"]} -> u=auth.client_token
        ~ @u GET auth/token/lookup-self
        POST auth/token/create/r2 {"policies":["bcd"]}
        POST auth/token/roles/r3 {"disallowed_policies":"p1"}
        POST auth/token/create/r3 {"policies":["p1"]}
        = POST auth/token/roles/r4 {"token_type":"batch"}
        = POST auth/token/roles/r5 {"path_suffix":"a/b"}
        DELETE auth/token/roles/r1
        GET auth/token/roles/r1
        DELETE auth/token/roles/r1
        """
    )

    static let wrapping = APIStory(
        "wrapped answers",
        """
        POST sys/mounts/kvw {"type":"kv-v2"}
        POST kvw/data/a {"data":{"x":"1"}}
        ^60 GET kvw/data/a -> w=wrap_info.token
        POST sys/wrapping/lookup {"token":"{w}"}
        POST sys/wrapping/unwrap {"token":"{w}"}
        = POST sys/wrapping/unwrap {"token":"{w}"}
        = POST sys/wrapping/lookup {"token":"{w}"}
        ^2m GET kvw/data/a -> v=wrap_info.token
        @v POST sys/wrapping/unwrap
        @v POST sys/wrapping/unwrap
        ^60 POST sys/wrapping/wrap {"a":{"b":1}} -> u=wrap_info.token
        POST sys/wrapping/rewrap {"token":"{u}"} -> r=wrap_info.token
        = POST sys/wrapping/unwrap {"token":"{u}"}
        POST sys/wrapping/unwrap {"token":"{r}"}
        = POST sys/wrapping/wrap {"a":1}
        = POST sys/wrapping/unwrap {"token":"nothing"}
        ^1h POST auth/token/create {"policies":["default"]} -> t=wrap_info.token
        POST sys/wrapping/unwrap {"token":"{t}"}
        ^60 GET kvw/data/absent
        ~ ^60 LIST kvw/metadata/absent
        ^60 DELETE kvw/data/a
        ^nonsense GET kvw/data/a
        ^-1 GET kvw/data/a
        ^0 GET kvw/metadata/a
        ^60 GET kvw/metadata/a -> x=wrap_info.token
        @x GET auth/token/lookup-self
        @x GET kvw/metadata/a
        # What is not an unwrap uses the token up in OpenBao; here it does not.
        """
    )

    static let cubbyhole = APIStory(
        "what a token keeps for itself",
        """
        POST auth/token/create {"policies":["default"]} -> t=auth.client_token
        @t GET cubbyhole/a
        @t POST cubbyhole/a {"x":"1"}
        @t GET cubbyhole/a
        GET cubbyhole/a
        @t POST cubbyhole/b/c {"y":2}
        @t LIST cubbyhole/
        @t LIST cubbyhole/b
        @t POST cubbyhole/a {"x":"2"}
        @t GET cubbyhole/a
        @t DELETE cubbyhole/b/c
        @t LIST cubbyhole/
        """
    )

    static let appRole = APIStory(
        "logins of services",
        """
        POST sys/auth/ar {"type":"approle"}
        LIST auth/ar/role
        POST auth/ar/role/web {"token_policies":"p1,p2","secret_id_ttl":"10m","token_ttl":"20m","token_max_ttl":"30m","secret_id_num_uses":2}
        ~ GET auth/ar/role/web
        LIST auth/ar/role
        GET auth/ar/role/web/role-id -> r=data.role_id
        POST auth/ar/role/web/secret-id {"metadata":"{\\"k\\":\\"v\\"}"} -> s=data.secret_id a=data.secret_id_accessor
        ~ POST auth/ar/role/web/secret-id/lookup {"secret_id":"{s}"}
        POST auth/ar/login {"role_id":"{r}","secret_id":"{s}"} -> t=auth.client_token
        @t GET auth/token/lookup-self
        @t POST auth/token/renew-self {"increment":"5h"}
        POST auth/ar/login {"role_id":"{r}","secret_id":"{s}"}
        = POST auth/ar/login {"role_id":"{r}","secret_id":"{s}"}
        = POST auth/ar/login {"role_id":"{r}","secret_id":"nothing"}
        = POST auth/ar/login {"role_id":"nothing","secret_id":"nothing"}
        = POST auth/ar/login {"role_id":"{r}"}
        POST auth/ar/role/web/secret-id {"ttl":"1m","num_uses":1} -> s1=data.secret_id a1=data.secret_id_accessor
        = POST auth/ar/role/web/secret-id {"ttl":"1h"}
        POST auth/ar/role/web/custom-secret-id {"secret_id":"abc"}
        LIST auth/ar/role/web/secret-id
        POST auth/ar/role/web/secret-id-accessor/lookup {"secret_id_accessor":"{a1}"}
        POST auth/ar/role/web/secret-id-accessor/destroy {"secret_id_accessor":"{a1}"}
        ~ POST auth/ar/role/web/secret-id-accessor/lookup {"secret_id_accessor":"{a1}"}
        POST auth/ar/role/web/secret-id/lookup {"secret_id":"nothing"}
        POST auth/ar/role/web/secret-id/destroy {"secret_id":"abc"}
        POST auth/ar/role/web/secret-id/destroy {"secret_id":"abc"}
        POST auth/ar/role/web/role-id {"role_id":"chosen"}
        POST auth/ar/role/web/secret-id {} -> s2=data.secret_id
        POST auth/ar/login {"role_id":"chosen","secret_id":"{s2}"}
        ^60 POST auth/ar/role/web/secret-id {} -> w=wrap_info.token
        POST sys/wrapping/unwrap {"token":"{w}"}
        POST auth/ar/role/batch {"token_type":"batch","token_ttl":"5m"}
        GET auth/ar/role/batch/role-id -> rb=data.role_id
        POST auth/ar/role/batch/secret-id {} -> sb=data.secret_id
        POST auth/ar/login {"role_id":"{rb}","secret_id":"{sb}"}
        POST auth/ar/role/uses {"token_num_uses":2,"token_no_default_policy":true,"token_policies":"default"}
        GET auth/ar/role/uses/role-id -> ru=data.role_id
        POST auth/ar/role/uses/secret-id {} -> su=data.secret_id
        POST auth/ar/login {"role_id":"{ru}","secret_id":"{su}"}
        DELETE auth/ar/role/web
        GET auth/ar/role/web
        GET auth/ar/role/nothing/role-id
        POST auth/ar/role/nothing/secret-id {}
        """
    )

    static let appRoleFields = APIStory(
        "single fields of an AppRole",
        """
        POST sys/auth/arf {"type":"approle"}
        POST auth/arf/role/web {"token_policies":"p1"}
        GET auth/arf/role/web/policies
        POST auth/arf/role/web/policies {"token_policies":"p9,p8"}
        GET auth/arf/role/web/policies
        DELETE auth/arf/role/web/policies
        GET auth/arf/role/web/policies
        POST auth/arf/role/web/token-ttl {"token_ttl":"5m"}
        GET auth/arf/role/web/token-ttl
        POST auth/arf/role/web/secret-id-ttl {"secret_id_ttl":600}
        GET auth/arf/role/web/secret-id-ttl
        GET auth/arf/role/web/secret-id-num-uses
        GET auth/arf/role/web/token-max-ttl
        GET auth/arf/role/web/token-num-uses
        GET auth/arf/role/web/period
        = POST auth/arf/role/bad {"token_type":"batch","token_num_uses":3}
        POST auth/arf/tidy/secret-id
        """
    )

    static let people = APIStory(
        "people",
        """
        POST sys/auth/ari {"type":"approle"}
        GET sys/auth/ari -> acc=data.accessor
        POST identity/entity {"name":"ali","policies":["p1","p2"],"metadata":{"team":"x"}} -> id=data.id
        POST identity/entity {"name":"ali","policies":["p3"]}
        GET identity/entity/name/ali
        GET identity/entity/id/{id}
        POST identity/entity/name/bob {"disabled":true} -> bob=data.id
        LIST identity/entity/name
        LIST identity/entity/id
        GET identity/entity/id/nothing
        GET identity/entity/name/nothing
        DELETE identity/entity/id/nothing
        POST identity/entity-alias {"name":"svc1","canonical_id":"{id}","mount_accessor":"{acc}"} -> al=data.id
        POST identity/entity-alias {"name":"svc1","canonical_id":"{id}","mount_accessor":"nothing"}
        GET identity/entity-alias/id/{al}
        LIST identity/entity-alias/id
        GET identity/entity/id/{id}
        POST identity/lookup/entity {"name":"ali"}
        POST identity/lookup/entity {"name":"nothing"}
        POST identity/lookup/entity {"alias_name":"svc1","alias_mount_accessor":"{acc}"}
        POST identity/lookup/entity {"alias_id":"{al}"}
        = POST identity/lookup/entity {}
        POST identity/entity {"id":"nothing","name":"qq"}
        POST identity/entity {"metadata":"x=y"}
        DELETE identity/entity-alias/id/{al}
        GET identity/entity-alias/id/{al}
        POST identity/entity/id/{bob} {"metadata":{"k":"v"},"disabled":false}
        GET identity/entity/id/{bob}
        DELETE identity/entity/name/bob
        GET identity/entity/id/{bob}
        """
    )

    static let teams = APIStory(
        "teams",
        """
        POST sys/auth/art {"type":"approle"}
        GET sys/auth/art -> acc=data.accessor
        POST identity/entity {"name":"amina"} -> id=data.id
        POST identity/group {"name":"g1","policies":"gp","member_entity_ids":"{id}"} -> g1=data.id
        GET identity/group/name/g1
        POST identity/group {"name":"g2","member_group_ids":"{g1}","policies":["gp2"]} -> g2=data.id
        GET identity/group/id/{g2}
        GET identity/entity/id/{id}
        LIST identity/group/id
        LIST identity/group/name
        POST identity/lookup/group {"name":"g2"}
        POST identity/lookup/group {"name":"nothing"}
        POST identity/group {"name":"g3","type":"external"} -> g3=data.id
        POST identity/group {"name":"g3","type":"external","member_entity_ids":"{id}"}
        POST identity/group {"name":"g1","type":"external"}
        POST identity/group-alias {"name":"ga","mount_accessor":"{acc}","canonical_id":"{g3}"} -> ga=data.id
        LIST identity/group-alias/id
        ~ GET identity/group/name/g3
        ~ GET identity/group-alias/id/{ga}
        DELETE identity/group-alias/id/{ga}
        POST identity/group/id/{g1} {"member_entity_ids":""}
        ~ GET identity/group/id/{g1}
        DELETE identity/group/id/{g1}
        GET identity/group/id/{g1}
        DELETE identity/group/name/nothing
        """
    )

    static let leases = APIStory(
        "leases that are not there",
        """
        = PUT sys/leases/lookup {"lease_id":"nothing/here"}
        = PUT sys/leases/renew {"lease_id":"nothing/here"}
        PUT sys/leases/revoke {"lease_id":"nothing/here"}
        PUT sys/leases/revoke/nothing/here {"sync":false}
        LIST sys/leases/lookup/nothing
        PUT sys/leases/revoke-prefix/nothing {}
        PUT sys/leases/revoke-prefix/nothing {"sync":false}
        PUT sys/leases/revoke-force/nothing
        """
    )

    static let transitKeys = APIStory(
        "keys of transit",
        """
        POST sys/mounts/tk {"type":"transit"}
        LIST tk/keys
        ~ POST tk/keys/k {}
        ~ POST tk/keys/k {}
        LIST tk/keys
        POST tk/encrypt/k {"plaintext":"aGVsbG8="} -> c=data.ciphertext
        ~ POST tk/keys/k/rotate
        POST tk/decrypt/k {"ciphertext":"{c}"}
        POST tk/rewrap/k {"ciphertext":"{c}"} -> c2=data.ciphertext
        POST tk/decrypt/k {"ciphertext":"{c2}"}
        = POST tk/keys/k/config {"min_decryption_version":9}
        = POST tk/keys/k/config {"min_encryption_version":9}
        ~ POST tk/keys/k/config {"min_decryption_version":2}
        POST tk/decrypt/k {"ciphertext":"{c}"}
        = POST tk/keys/k/config {"min_encryption_version":1}
        = POST tk/keys/k/trim {"min_available_version":2}
        ~ POST tk/keys/k/config {"min_encryption_version":2}
        ~ POST tk/keys/k/trim {"min_available_version":2}
        POST tk/decrypt/k {"ciphertext":"{c2}"}
        = DELETE tk/keys/k
        ~ POST tk/keys/k/config {"deletion_allowed":true}
        DELETE tk/keys/k
        GET tk/keys/k
        = DELETE tk/keys/nothing
        = POST tk/keys/nothing/rotate
        = POST tk/keys/nothing/config {}
        ~ POST tk/keys/bad {"type":"nothing"}
        """
    )

    static let transitCiphertexts = APIStory(
        "encryption as a service",
        """
        POST sys/mounts/te {"type":"transit"}
        POST te/encrypt/new {"plaintext":"aGVsbG8="} -> c=data.ciphertext
        POST te/decrypt/new {"ciphertext":"{c}"}
        POST te/encrypt/new {"plaintext":""} -> e=data.ciphertext
        POST te/decrypt/new {"ciphertext":"{e}"}
        POST te/encrypt/new {"plaintext":"aGVsbG8=","associated_data":"YQ=="} -> a=data.ciphertext
        POST te/decrypt/new {"ciphertext":"{a}","associated_data":"YQ=="}
        = POST te/decrypt/new {"ciphertext":"{a}"}
        = POST te/encrypt/new {}
        POST te/encrypt/new {"plaintext":"%%"}
        = POST te/encrypt/new {"plaintext":"aGVsbG8=","key_version":5}
        = POST te/decrypt/new {"ciphertext":"vault:v1:aaaa"}
        = POST te/decrypt/new {"ciphertext":"foo"}
        = POST te/decrypt/new {"ciphertext":"vault:v9:aaaa"}
        = POST te/decrypt/new {"ciphertext":"vault:vx:aaaa"}
        = POST te/decrypt/new {"ciphertext":"vault:v1:!!!"}
        = POST te/decrypt/new {"ciphertext":"vault:v1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}
        = POST te/decrypt/new {}
        = POST te/decrypt/nothing {"ciphertext":"vault:v1:aaaa"}
        POST te/encrypt/new {"batch_input":[{"plaintext":"aGVsbG8="},{"plaintext":"aGVsbG8=","reference":"r1"}]} -> b=data.batch_results.0.ciphertext
        POST te/decrypt/new {"batch_input":[{"ciphertext":"{b}","reference":"q"}]}
        ~ POST te/decrypt/new {"batch_input":[{"ciphertext":"foo"}]}
        = POST te/encrypt/new {"batch_input":[]}
        POST te/datakey/plaintext/new {}
        POST te/datakey/wrapped/new {"bits":512}
        = POST te/datakey/wrapped/new {"bits":500}
        = POST te/datakey/nothing/new {}
        """
    )

    static let transitSignatures = APIStory(
        "signatures and codes",
        """
        POST sys/mounts/ts {"type":"transit"}
        ~ POST ts/keys/e {"type":"ed25519"}
        POST ts/sign/e {"input":"aGVsbG8="} -> s=data.signature
        POST ts/verify/e {"input":"aGVsbG8=","signature":"{s}"}
        POST ts/verify/e {"input":"YQ==","signature":"{s}"}
        = POST ts/verify/e {"input":"YQ==","signature":"foo"}
        = POST ts/verify/e {"input":"YQ=="}
        POST ts/sign/e/sha2-256 {"input":"aGVsbG8="}
        POST ts/verify/e {"batch_input":[{"input":"aGVsbG8=","signature":"{s}"}]}
        = POST ts/encrypt/e {"plaintext":"aGVsbG8="}
        POST ts/hmac/e {"input":"aGVsbG8="} -> h=data.hmac
        POST ts/verify/e {"input":"aGVsbG8=","hmac":"{h}"}
        POST ts/verify/e {"input":"YQ==","hmac":"{h}"}
        POST ts/hmac/e/sha2-512 {"input":"aGVsbG8="}
        ~ POST ts/keys/k {}
        = POST ts/sign/k {"input":"aGVsbG8="}
        ~ POST ts/keys/h {"type":"hmac","key_size":32}
        POST ts/hmac/h {"input":"aGVsbG8="} -> g=data.hmac
        POST ts/verify/h {"input":"aGVsbG8=","hmac":"{g}"}
        """
    )

    static let tools = APIStory(
        "sums and random bytes",
        """
        POST sys/mounts/tt {"type":"transit"}
        POST tt/hash {"input":"aGVsbG8="}
        POST tt/hash/sha2-512 {"input":"aGVsbG8=","format":"base64"}
        = POST tt/hash/foo {"input":"aGVsbG8="}
        POST sys/tools/hash/sha2-384 {"input":"aGVsbG8="}
        POST sys/tools/hash/sha2-224 {"input":"aGVsbG8="}
        POST sys/tools/hash {}
        ~ POST sys/tools/random/4 {"format":"hex"}
        ~ POST tt/random {}
        = POST sys/tools/random/0 {}
        POST sys/tools/random/x {}
        """
    )
}
