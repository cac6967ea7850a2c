extension GrantQueries {
    /// What a holder of a login can make by itself must not keep others from theirs: objects of a session (temporary ones),
    /// large objects, and default rights of a role that may make nothing count for nothing here, and nobody else can use
    /// them to reach more than their maker could. Rights (deptype `a`) count for nothing where their object is one of these
    /// and belongs to a login.
    private static let harmless = """
        d.deptype = 'a' AND EXISTS (SELECT 1 FROM pg_shdepend p JOIN pg_roles q ON q.oid = p.refobjid
            WHERE p.dbid = d.dbid AND p.classid = d.classid AND p.objid = d.objid AND p.objsubid = 0
                AND p.refclassid = 'pg_authid'::regclass AND p.deptype = 'o' AND starts_with(q.rolname::text, 'coffre_')
                AND (d.classid = 'pg_largeobject'::regclass OR d.dbid NOT IN (0, here.oid)))
        OR d.deptype = 'o' AND d.classid IN ('pg_largeobject'::regclass, 'pg_default_acl'::regclass) OR d.dbid = here.oid AND EXISTS (
            SELECT 1 FROM pg_namespace n WHERE n.nspname ~ '^pg_(toast_)?temp_' AND n.oid IN (
                SELECT relnamespace FROM pg_class WHERE d.classid = 'pg_class'::regclass AND oid = d.objid
                UNION ALL SELECT typnamespace FROM pg_type WHERE d.classid = 'pg_type'::regclass AND oid = d.objid
                UNION ALL SELECT pronamespace FROM pg_proc WHERE d.classid = 'pg_proc'::regclass AND oid = d.objid))
        """

    /// What is wrong with the roles themselves: login `$1`, group `$2`, sessions `$3`, end `$4`, read only `$5`. Nobody may
    /// accept any of it, and with any of it the other questions have no meaning: a superuser has every right.
    ///
    /// Before PostgreSQL 16 a login can become its group role, and make objects for it in another database where it may
    /// connect: what the group owns there is looked for with `$6` alone. Whether a login may connect there is asked apart.
    static let roles = """
        WITH RECURSIVE who AS (SELECT * FROM pg_roles WHERE rolname IN ($1::text, $2::text)),
        here AS (SELECT oid FROM pg_database WHERE datname = current_database()),
        reach(role, via) AS (
            SELECT oid, 0::oid FROM who
            UNION SELECT m.roleid, m.member FROM pg_auth_members m JOIN reach r ON m.member = r.role
        )
        SELECT 'attribute', format('%s OF %I', a.name, w.rolname), format('ALTER ROLE %I NO%s', w.rolname, a.name)
        FROM who w CROSS JOIN LATERAL (VALUES ('SUPERUSER', w.rolsuper), ('CREATEDB', w.rolcreatedb),
            ('CREATEROLE', w.rolcreaterole), ('REPLICATION', w.rolreplication), ('BYPASSRLS', w.rolbypassrls),
            ('LOGIN', w.rolcanlogin AND w.rolname = $2::text)) AS a(name, held)
        WHERE a.held
        UNION ALL
        SELECT 'attribute', format('settings of %I', $1::text), NULL
        WHERE NOT EXISTS (SELECT 1 FROM who w WHERE w.rolname = $1::text AND w.rolcanlogin AND w.rolinherit
                AND w.rolconnlimit = $3::int AND w.rolvaliduntil = to_timestamp($4::float8))
            OR (SELECT coalesce(array_agg(DISTINCT c ORDER BY c), '{}') FROM who w, pg_db_role_setting s, unnest(s.setconfig) c
                WHERE s.setrole = w.oid AND w.rolname = $1::text)
            <> CASE WHEN $5::bool THEN '{default_transaction_read_only=on}'::text[] ELSE '{}' END
        UNION ALL
        SELECT DISTINCT 'membership', format('%I IN %I', m.rolname, r.rolname),
            format('REVOKE %I FROM %I', r.rolname, m.rolname)
        FROM reach x JOIN pg_roles r ON r.oid = x.role JOIN pg_roles m ON m.oid = x.via
        WHERE NOT (r.rolname = $2::text AND m.rolname = $1::text)
        UNION ALL
        SELECT 'membership', format('ADMIN OPTION OF %I FOR %I', $2::text, $1::text), NULL
        FROM pg_auth_members m JOIN who w ON w.oid = m.member WHERE m.admin_option
        UNION ALL
        SELECT 'ownership', CASE WHEN d.dbid IN (0, here.oid) THEN pg_describe_object(d.classid, d.objid, d.objsubid)
                ELSE format('an object in database %I', (SELECT datname FROM pg_database b WHERE b.oid = d.dbid)) END,
            format('REASSIGN OWNED BY %I TO CURRENT_USER', w.rolname)
        FROM here, who w JOIN pg_shdepend d ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = w.oid
        WHERE d.deptype = 'o' AND NOT (\(harmless)) AND ($6::bool OR w.rolname = $1::text OR d.dbid IN (0, here.oid))
        """

    /// What members of a group role (`$1`) have beside it, the login `$2` apart, which is looked at in detail: they can do
    /// what it can, and what this finds. The administrator is a member of what it makes, from PostgreSQL 16 on.
    ///
    /// Of each kind a few are told, so that many of one do not hide another, and nothing but what is told is described:
    /// whoever holds a login can make rights without number.
    static let companions = """
        WITH here AS (SELECT oid FROM pg_database WHERE datname = current_database()),
        mates AS MATERIALIZED (SELECT r.*, m.admin_option FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
            JOIN pg_roles r ON r.oid = m.member
            WHERE g.rolname = $1::text AND r.rolname <> $2::text AND r.rolname <> current_user),
        named(kind, object, mend) AS MATERIALIZED (
            SELECT 'membership', format('%I IN %I', w.rolname, $1::text), format('REVOKE %I FROM %I', $1::text, w.rolname)
            FROM mates w WHERE NOT starts_with(w.rolname::text, 'coffre_')
            UNION ALL
            SELECT 'membership', format('ADMIN OPTION OF %I FOR %I', $1::text, w.rolname), NULL
            FROM mates w WHERE w.admin_option
            UNION ALL
            SELECT 'membership', format('%I IN %I', w.rolname, r.rolname), format('REVOKE %I FROM %I', r.rolname, w.rolname)
            FROM mates w JOIN pg_auth_members m ON m.member = w.oid JOIN pg_roles r ON r.oid = m.roleid
            WHERE r.rolname <> $1::text AND starts_with(w.rolname::text, 'coffre_')
            UNION ALL
            SELECT 'attribute', format('%s OF %I', a.name, w.rolname), format('ALTER ROLE %I NO%s', w.rolname, a.name)
            FROM mates w CROSS JOIN LATERAL (VALUES ('SUPERUSER', w.rolsuper), ('CREATEDB', w.rolcreatedb),
                ('CREATEROLE', w.rolcreaterole), ('REPLICATION', w.rolreplication), ('BYPASSRLS', w.rolbypassrls))
                AS a(name, held)
            WHERE a.held AND starts_with(w.rolname::text, 'coffre_')
            UNION ALL
            SELECT 'attribute', format('no VALID UNTIL of %I', w.rolname), NULL FROM mates w
            WHERE (w.rolvaliduntil IS NULL OR NOT isfinite(w.rolvaliduntil)) AND starts_with(w.rolname::text, 'coffre_')
        ),
        beside AS MATERIALIZED (
            SELECT w.rolname, d.dbid, d.classid, d.objid, d.objsubid, d.deptype,
                row_number() OVER (PARTITION BY d.deptype) AS place
            FROM here, mates w JOIN pg_shdepend d ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = w.oid
            WHERE starts_with(w.rolname::text, 'coffre_') AND d.deptype IN ('a', 'o') AND NOT (\(harmless))
        )
        SELECT f.kind, f.object, f.mend, (SELECT count(*) FROM named) + (SELECT count(*) FROM beside) FROM (
            SELECT kind, object, mend, row_number() OVER (PARTITION BY kind ORDER BY object) AS place FROM named
            UNION ALL
            SELECT CASE b.deptype WHEN 'o' THEN 'ownership' ELSE 'login-right' END, format('%I: %s', b.rolname,
                    CASE WHEN b.dbid IN (0, here.oid) THEN pg_describe_object(b.classid, b.objid, b.objsubid)
                    ELSE format('an object in database %I', (SELECT datname FROM pg_database e WHERE e.oid = b.dbid)) END),
                CASE b.deptype WHEN 'o' THEN format('REASSIGN OWNED BY %I TO CURRENT_USER', b.rolname) END, b.place
            FROM here, beside b WHERE b.place <= 12
        ) AS f WHERE f.place <= 12 AND f.object IS NOT NULL LIMIT 64
        """

    /// What a login (`$1`) of a group role (`$2`) can do with what is neither table nor sequence, beyond its plan, whose
    /// schemas are `$4`, a JSON array. Accepted: `$3`.
    /// - Parameter version: `server_version_num`; parameters have rights from 15 on.
    static func objects(version: Int) -> String {
        without(
            accepted: 3,
            [schemas, databases, routines, systemTables, others, future, version >= 150_000 ? parameters : nil]
                .compactMap { $0 }.joined(separator: "\nUNION ALL\n")
        )
    }

    private static let me = "(SELECT oid FROM pg_roles WHERE rolname = $1::text)"

    private static let schemas = """
        SELECT 'create', format('%I', n.nspname), format('REVOKE CREATE ON SCHEMA %I FROM PUBLIC', n.nspname)
        FROM pg_namespace n WHERE n.nspname !~ '^pg_(toast|temp_|toast_temp_)' AND has_schema_privilege(\(me), n.oid, 'CREATE')
        UNION ALL
        SELECT 'usage', format('%I', n.nspname), format('REVOKE USAGE ON SCHEMA %I FROM PUBLIC', n.nspname)
        FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
            AND NOT $4::text::jsonb ? n.nspname::text AND has_schema_privilege(\(me), n.oid, 'USAGE')
        """

    private static let databases = """
        SELECT 'connect', format('%I', d.datname), format('REVOKE CONNECT ON DATABASE %I FROM PUBLIC', d.datname)
        FROM pg_database d WHERE d.datallowconn AND d.datname <> current_database()
            AND has_database_privilege(\(me), d.oid, 'CONNECT')
        UNION ALL
        SELECT 'create-schema', format('%I', d.datname), format('REVOKE CREATE ON DATABASE %I FROM PUBLIC', d.datname)
        FROM pg_database d WHERE has_database_privilege(\(me), d.oid, 'CREATE')
        UNION ALL
        SELECT 'temp', format('%I', d.datname), format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', d.datname)
        FROM pg_database d WHERE d.datname = current_database() AND has_database_privilege(\(me), d.oid, 'TEMPORARY')
        UNION ALL
        SELECT 'missing-right', format('CONNECT ON DATABASE %I', d.datname), NULL
        FROM pg_database d WHERE d.datname = current_database() AND NOT has_database_privilege(\(me), d.oid, 'CONNECT')
        """

    /// Trigger functions as well: whoever has TEMPORARY makes a table of one's own, and a trigger on it.
    private static let routines = """
        SELECT CASE WHEN p.prosecdef THEN 'definer' ELSE 'untrusted' END, p.oid::regprocedure::text,
            format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', p.oid::regprocedure)
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
        WHERE (p.prosecdef OR NOT l.lanpltrusted AND l.lanname NOT IN ('c', 'internal'))
            AND (p.oid >= 16384 OR n.nspname <> 'pg_catalog') AND n.nspname !~ '^pg_(toast_)?temp_'
            AND has_function_privilege(\(me), p.oid, 'EXECUTE')
        UNION ALL
        SELECT 'system', format('EXECUTE ON %s', p.oid::regprocedure),
            format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC', p.oid::regprocedure)
        FROM pg_init_privs i JOIN pg_proc p ON p.oid = i.objoid JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE i.classoid = 'pg_proc'::regclass AND n.nspname IN ('pg_catalog', 'information_schema')
            AND NOT EXISTS (SELECT 1 FROM aclexplode(i.initprivs) x WHERE x.grantee = 0)
            AND has_function_privilege(\(me), p.oid, 'EXECUTE')
        """

    /// Tables and columns of the system, against what pg_init_privs says that everybody had at first. Everybody may read the
    /// views of information_schema, which show each one's own.
    private static let systemTables = """
        SELECT 'system', format('%s ON %I.%I', v.verb, n.nspname, c.relname),
            format('REVOKE %s ON %I.%I FROM PUBLIC', v.verb, n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE')) AS v(verb)
        WHERE (n.nspname = 'pg_catalog' OR n.nspname = 'information_schema' AND v.verb <> 'SELECT')
            AND c.relkind IN ('r', 'v', 'm', 'f', 'p') AND has_table_privilege(\(me), c.oid, v.verb)
            AND NOT EXISTS (SELECT 1 FROM pg_init_privs i, aclexplode(i.initprivs) x
                WHERE i.objoid = c.oid AND i.classoid = 'pg_class'::regclass AND i.objsubid = 0 AND x.grantee = 0
                    AND x.privilege_type = v.verb)
        UNION ALL
        SELECT 'system', format('%s ON %I.%I(%I)', v.verb, n.nspname, c.relname, a.attname),
            format('REVOKE %s (%I) ON %I.%I FROM PUBLIC', v.verb, a.attname, n.nspname, c.relname)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
        CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE')) AS v(verb)
        WHERE n.nspname IN ('pg_catalog', 'information_schema') AND a.attacl IS NOT NULL AND NOT a.attisdropped
            AND NOT has_table_privilege(\(me), c.oid, v.verb) AND has_column_privilege(\(me), c.oid, a.attnum, v.verb)
            AND NOT EXISTS (SELECT 1 FROM pg_init_privs i, aclexplode(i.initprivs) x
                WHERE i.objoid = c.oid AND i.classoid = 'pg_class'::regclass AND i.objsubid = a.attnum AND x.grantee = 0
                    AND x.privilege_type = v.verb)
        """

    private static let others = """
        SELECT 'large-object', m.oid::text, format('REVOKE ALL ON LARGE OBJECT %s FROM PUBLIC', m.oid)
        FROM pg_largeobject_metadata m JOIN pg_roles r ON r.oid = m.lomowner
        WHERE m.lomacl IS NOT NULL AND NOT starts_with(r.rolname::text, 'coffre_')
            AND EXISTS (SELECT 1 FROM aclexplode(m.lomacl) x
                WHERE x.grantee = 0 OR x.grantee IN (SELECT oid FROM pg_roles WHERE rolname IN ($1::text, $2::text)))
        UNION ALL
        SELECT 'large-object', 'all', 'ALTER SYSTEM SET lo_compat_privileges = off'
        WHERE current_setting('lo_compat_privileges') = 'on'
        UNION ALL
        SELECT 'foreign-server', format('%I', s.srvname), format('REVOKE USAGE ON FOREIGN SERVER %I FROM PUBLIC', s.srvname)
        FROM pg_foreign_server s WHERE has_server_privilege(\(me), s.oid, 'USAGE')
        UNION ALL
        SELECT 'foreign-data-wrapper', format('%I', w.fdwname),
            format('REVOKE USAGE ON FOREIGN DATA WRAPPER %I FROM PUBLIC', w.fdwname)
        FROM pg_foreign_data_wrapper w WHERE has_foreign_data_wrapper_privilege(\(me), w.oid, 'USAGE')
        UNION ALL
        SELECT 'tablespace', format('%I', t.spcname), format('REVOKE CREATE ON TABLESPACE %I FROM PUBLIC', t.spcname)
        FROM pg_tablespace t WHERE has_tablespace_privilege(\(me), t.oid, 'CREATE')
        """

    private static let future = """
        SELECT 'future', pg_describe_object('pg_default_acl'::regclass, a.oid, 0), format(
            'ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE ALL ON %s FROM PUBLIC, %I', r.rolname,
            CASE WHEN n.nspname IS NULL THEN '' ELSE format(' IN SCHEMA %I', n.nspname) END,
            CASE a.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' ELSE 'SCHEMAS' END, $2::text)
        FROM pg_default_acl a JOIN pg_roles r ON r.oid = a.defaclrole LEFT JOIN pg_namespace n ON n.oid = a.defaclnamespace
        WHERE a.defaclobjtype IN ('r', 'S', 'n') AND EXISTS (SELECT 1 FROM pg_namespace c
                WHERE c.nspname !~ '^pg_' AND c.oid = coalesce(n.oid, c.oid) AND has_schema_privilege(r.oid, c.oid, 'CREATE')
                OR has_database_privilege(r.oid, current_database(), 'CREATE'))
            AND EXISTS (SELECT 1 FROM aclexplode(a.defaclacl) x
            WHERE x.grantee = 0 OR x.grantee IN (SELECT oid FROM pg_roles WHERE rolname IN ($1::text, $2::text)))
        """

    private static let parameters = """
        SELECT 'parameter', format('%s ON %s', v.verb, p.parname),
            format('REVOKE %s ON PARAMETER %I FROM PUBLIC', v.verb, p.parname)
        FROM pg_parameter_acl p CROSS JOIN (VALUES ('SET'), ('ALTER SYSTEM')) AS v(verb)
        WHERE has_parameter_privilege(\(me), p.parname, v.verb)
        """
}
