/// Parts that the queries about rights share. All of them run under the pinned search path of ``PostgresSession``, so that
/// every function, operator and catalogue is the system's; every identifier in their answers is quoted by `format('%I')`.
enum GrantQueries {
    /// The plan (`$1`), each table with its `oid`; `rel` is NULL for one that is not there.
    static let plan = """
        plan AS MATERIALIZED (
            SELECT p.s, p.t, p.r, p.i, p.u, p.d, n.oid AS nsp, c.oid AS rel, c.relkind
            FROM jsonb_to_recordset($1::text::jsonb) AS p(s text, t text, r jsonb, i jsonb, u jsonb, d jsonb)
            LEFT JOIN pg_namespace n ON n.nspname = p.s
            LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.t AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
        ),
        here AS (SELECT oid, datname FROM pg_database WHERE datname = current_database())
        """

    /// One row for each table and verb of the plan, one for each column that is named, and the sequences that an INSERT
    /// takes numbers from.
    static let asked = """
        asked AS MATERIALIZED (
            SELECT p.rel, p.nsp, p.s, p.t, v.verb, v.columns
            FROM plan p CROSS JOIN LATERAL (VALUES ('SELECT', p.r), ('INSERT', p.i), ('UPDATE', p.u), ('DELETE', p.d))
                AS v(verb, columns)
            WHERE p.rel IS NOT NULL AND v.columns <> 'false'::jsonb
        ),
        asked_columns AS MATERIALIZED (
            SELECT k.rel, k.s, k.t, k.verb, e.name, a.attnum
            FROM asked k CROSS JOIN LATERAL jsonb_array_elements_text(
                CASE jsonb_typeof(k.columns) WHEN 'array' THEN k.columns ELSE '[]'::jsonb END) AS e(name)
            LEFT JOIN pg_attribute a ON a.attrelid = k.rel AND a.attname = e.name AND a.attnum > 0 AND NOT a.attisdropped
        ),
        asked_sequences AS MATERIALIZED (
            SELECT DISTINCT q.oid AS rel
            FROM plan p JOIN pg_attrdef f ON f.adrelid = p.rel
            JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid
                AND d.refclassid = 'pg_class'::regclass
            JOIN pg_class q ON q.oid = d.refobjid AND q.relkind = 'S'
            WHERE p.i <> 'false'::jsonb
        )
        """

    /// What has to happen for the group role (`$2`) to hold exactly the plan (`$1`): rows of
    /// `step (0 cannot be, 1 take back, 2 give), kind, object, statement`, in the order of their steps.
    ///
    /// Joins alone, no subqueries in an OR: those would be looked through once for each row, and lists are long.
    /// What is too much is read from the access lists that pg_shdepend says the role is in, but for what a holder of a login
    /// can give it to keep others from theirs: large objects and temporary ones of its own, and what it has elsewhere. What is missing is asked of
    /// `has_…_privilege`, so that what everybody has (CONNECT, USAGE of `public`) is not given again.
    static let comparison = """
        WITH \(plan),
        \(asked),
        g AS (SELECT oid, rolname FROM pg_roles WHERE rolname = $2::text),
        mine AS MATERIALIZED (
            SELECT d.classid, d.objid, d.objsubid, d.dbid
            FROM g CROSS JOIN here JOIN pg_shdepend d ON d.refclassid = 'pg_authid'::regclass AND d.refobjid = g.oid
                AND d.deptype = 'a'
            LEFT JOIN pg_shdepend o ON o.dbid = d.dbid AND o.classid = d.classid AND o.objid = d.objid
                AND o.objsubid = 0 AND o.refclassid = 'pg_authid'::regclass AND o.deptype = 'o'
            LEFT JOIN pg_roles m ON m.oid = o.refobjid AND starts_with(m.rolname::text, 'coffre_')
            LEFT JOIN pg_class c ON c.oid = d.objid AND d.classid = 'pg_class'::regclass AND d.dbid = here.oid
            LEFT JOIN pg_type t ON t.oid = d.objid AND d.classid = 'pg_type'::regclass AND d.dbid = here.oid
            LEFT JOIN pg_proc f ON f.oid = d.objid AND d.classid = 'pg_proc'::regclass AND d.dbid = here.oid
            LEFT JOIN pg_namespace n ON n.oid = coalesce(c.relnamespace, t.typnamespace, f.pronamespace)
            WHERE (m.oid IS NULL OR d.classid <> 'pg_largeobject'::regclass AND d.dbid IN (0, here.oid))
                AND (n.oid IS NULL OR n.nspname !~ '^pg_(toast_)?temp_')
        ),
        held AS MATERIALIZED (
            SELECT c.oid AS rel, x.privilege_type AS verb, bool_or(x.is_grantable) AS grantable,
                format('%s %I.%I', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, n.nspname, c.relname) AS object
            FROM g, here, mine m JOIN pg_class c ON c.oid = m.objid JOIN pg_namespace n ON n.oid = c.relnamespace
            CROSS JOIN LATERAL aclexplode(c.relacl) x
            WHERE m.classid = 'pg_class'::regclass AND m.objsubid = 0 AND m.dbid = here.oid AND x.grantee = g.oid
            GROUP BY c.oid, x.privilege_type, c.relkind, n.nspname, c.relname
        ),
        held_columns AS MATERIALIZED (
            SELECT a.attrelid AS rel, a.attnum, x.privilege_type AS verb, bool_or(x.is_grantable) AS grantable,
                format('%I', a.attname) AS name, format('%I.%I', n.nspname, c.relname) AS object
            FROM g, here, mine m JOIN pg_attribute a ON a.attrelid = m.objid AND a.attnum = m.objsubid
            JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            CROSS JOIN LATERAL aclexplode(a.attacl) x
            WHERE m.classid = 'pg_class'::regclass AND m.objsubid <> 0 AND m.dbid = here.oid AND x.grantee = g.oid
                AND NOT a.attisdropped
            GROUP BY a.attrelid, a.attnum, x.privilege_type, a.attname, n.nspname, c.relname
        ),
        wanted AS MATERIALIZED (
            SELECT rel, verb FROM asked WHERE columns = 'true'::jsonb UNION ALL SELECT rel, 'USAGE' FROM asked_sequences
        ),
        excess AS MATERIALIZED (
            SELECT h.* FROM held h LEFT JOIN wanted w ON w.rel = h.rel AND w.verb = h.verb
            WHERE w.rel IS NULL OR h.grantable
        ),
        excess_columns AS MATERIALIZED (
            SELECT h.* FROM held_columns h
            LEFT JOIN asked_columns w ON w.rel = h.rel AND w.attnum = h.attnum AND w.verb = h.verb
            WHERE w.rel IS NULL OR h.grantable
        ),
        schemas AS (SELECT DISTINCT nsp, s FROM plan WHERE rel IS NOT NULL)
        SELECT 0 AS step, 'missing-table' AS kind, format('%I.%I', s, t) AS object, NULL AS statement
        FROM plan WHERE rel IS NULL
        UNION ALL
        SELECT DISTINCT 0, 'missing-column', format('%I.%I(%I)', s, t, name), NULL FROM asked_columns WHERE attnum IS NULL
        UNION ALL
        SELECT 1, 'group-right', string_agg(verb, ', ' ORDER BY verb) || ' ON ' || object,
            format('REVOKE %s ON %s FROM %I CASCADE', string_agg(verb, ', ' ORDER BY verb), object, g.rolname)
        FROM excess, g GROUP BY rel, object, g.rolname
        UNION ALL
        SELECT 1, 'group-right', format('%s (%s) ON %s', verb, string_agg(name, ', ' ORDER BY attnum), object),
            format('REVOKE %s (%s) ON TABLE %s FROM %I CASCADE', verb, string_agg(name, ', ' ORDER BY attnum), object,
                g.rolname)
        FROM excess_columns, g GROUP BY rel, verb, object, g.rolname
        UNION ALL
        SELECT 1, 'group-right', format('%s ON SCHEMA %I', x.privilege_type, n.nspname),
            format('REVOKE %s ON SCHEMA %I FROM %I CASCADE', x.privilege_type, n.nspname, g.rolname)
        FROM g, here, mine m JOIN pg_namespace n ON n.oid = m.objid CROSS JOIN LATERAL aclexplode(n.nspacl) x
        WHERE m.classid = 'pg_namespace'::regclass AND m.dbid = here.oid AND x.grantee = g.oid
            AND (x.is_grantable OR x.privilege_type <> 'USAGE' OR NOT EXISTS (SELECT 1 FROM schemas w WHERE w.nsp = n.oid))
        UNION ALL
        SELECT 1, 'group-right', format('%s ON DATABASE %I', x.privilege_type, b.datname),
            format('REVOKE %s ON DATABASE %I FROM %I CASCADE', x.privilege_type, b.datname, g.rolname)
        FROM g, here, mine m JOIN pg_database b ON b.oid = m.objid CROSS JOIN LATERAL aclexplode(b.datacl) x
        WHERE m.classid = 'pg_database'::regclass AND x.grantee = g.oid
            AND (x.is_grantable OR x.privilege_type <> 'CONNECT' OR b.oid <> here.oid)
        UNION ALL
        SELECT 1, 'group-right', CASE WHEN m.dbid IN (0, here.oid) THEN pg_describe_object(m.classid, m.objid, m.objsubid)
                ELSE format('rights in database %I', (SELECT datname FROM pg_database b WHERE b.oid = m.dbid)) END,
            CASE WHEN m.dbid NOT IN (0, here.oid) THEN NULL
                WHEN m.classid = 'pg_proc'::regclass
                    THEN format('REVOKE ALL ON ROUTINE %s FROM %I CASCADE', m.objid::regprocedure, g.rolname)
                WHEN m.classid = 'pg_type'::regclass
                    THEN format('REVOKE ALL ON TYPE %s FROM %I CASCADE', m.objid::regtype, g.rolname)
                WHEN m.classid = 'pg_largeobject'::regclass
                    THEN format('REVOKE ALL ON LARGE OBJECT %s FROM %I CASCADE', m.objid, g.rolname)
                WHEN m.classid = 'pg_foreign_server'::regclass
                    THEN (SELECT format('REVOKE ALL ON FOREIGN SERVER %I FROM %I CASCADE', srvname, g.rolname)
                        FROM pg_foreign_server WHERE oid = m.objid)
                WHEN m.classid = 'pg_foreign_data_wrapper'::regclass
                    THEN (SELECT format('REVOKE ALL ON FOREIGN DATA WRAPPER %I FROM %I CASCADE', fdwname, g.rolname)
                        FROM pg_foreign_data_wrapper WHERE oid = m.objid)
                WHEN m.classid = 'pg_tablespace'::regclass
                    THEN (SELECT format('REVOKE ALL ON TABLESPACE %I FROM %I CASCADE', spcname, g.rolname)
                        FROM pg_tablespace WHERE oid = m.objid) END
        FROM g, here, mine m
        WHERE m.classid NOT IN ('pg_class'::regclass, 'pg_namespace'::regclass, 'pg_database'::regclass,
                'pg_default_acl'::regclass) OR m.dbid NOT IN (0, here.oid)
        UNION ALL
        SELECT 2, 'missing-right', format('CONNECT ON DATABASE %I', here.datname),
            format('GRANT CONNECT ON DATABASE %I TO %I', here.datname, g.rolname)
        FROM g, here WHERE NOT has_database_privilege(g.oid, here.oid, 'CONNECT')
        UNION ALL
        SELECT 2, 'missing-right', format('USAGE ON SCHEMA %I', w.s), format('GRANT USAGE ON SCHEMA %I TO %I', w.s, g.rolname)
        FROM g, schemas w WHERE NOT has_schema_privilege(g.oid, w.nsp, 'USAGE')
        UNION ALL
        SELECT 2, 'missing-right', format('%s ON %I.%I', string_agg(k.verb, ', ' ORDER BY k.verb), k.s, k.t),
            format('GRANT %s ON TABLE %I.%I TO %I', string_agg(k.verb, ', ' ORDER BY k.verb), k.s, k.t, g.rolname)
        FROM g, asked k LEFT JOIN excess x ON x.rel = k.rel AND x.verb = k.verb
        WHERE k.columns = 'true'::jsonb AND (x.rel IS NOT NULL OR NOT has_table_privilege(g.oid, k.rel, k.verb))
        GROUP BY k.rel, k.s, k.t, g.rolname
        UNION ALL
        SELECT 2, 'missing-right', format('%s (%s) ON %I.%I', k.verb, string_agg(format('%I', k.name), ', ' ORDER BY k.attnum),
                k.s, k.t),
            format('GRANT %s (%s) ON TABLE %I.%I TO %I', k.verb,
                string_agg(format('%I', k.name), ', ' ORDER BY k.attnum), k.s, k.t, g.rolname)
        FROM g, asked_columns k LEFT JOIN excess x ON x.rel = k.rel AND x.verb = k.verb
        LEFT JOIN excess_columns y ON y.rel = k.rel AND y.attnum = k.attnum AND y.verb = k.verb
        WHERE k.attnum IS NOT NULL AND (x.rel IS NOT NULL OR y.rel IS NOT NULL
            OR NOT has_column_privilege(g.oid, k.rel, k.attnum, k.verb))
        GROUP BY k.rel, k.verb, k.s, k.t, g.rolname
        UNION ALL
        SELECT 2, 'missing-right', format('USAGE ON SEQUENCE %I.%I', n.nspname, c.relname),
            format('GRANT USAGE ON SEQUENCE %I.%I TO %I', n.nspname, c.relname, g.rolname)
        FROM g, asked_sequences q JOIN pg_class c ON c.oid = q.rel JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE NOT has_sequence_privilege(g.oid, q.rel, 'USAGE')
            OR EXISTS (SELECT 1 FROM excess x WHERE x.rel = q.rel AND x.verb = 'USAGE')
        ORDER BY 1, 2, 3
        """

    /// The rows `kind, object, mend` of `found` without those that are accepted (`$n`), 64 at most, each with the number
    /// of all.
    static func without(accepted parameter: Int, _ found: String) -> String {
        """
        SELECT f.kind, f.object, f.mend, count(*) OVER () FROM (\(found)) AS f(kind, object, mend)
        WHERE NOT EXISTS (SELECT 1 FROM jsonb_to_recordset($\(parameter)::text::jsonb) AS a(k text, o text)
            WHERE a.k = f.kind AND (a.o IS NULL OR a.o = f.object))
        ORDER BY f.kind, f.object LIMIT 64
        """
    }
}
