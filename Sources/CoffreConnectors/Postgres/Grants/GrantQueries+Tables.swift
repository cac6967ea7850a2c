extension GrantQueries {
    /// What the login `$2` can do with tables, columns and sequences beyond the plan `$1`, and what it cannot that the plan
    /// says. Accepted: `$3`.
    ///
    /// Every relation is asked about. A column is asked about where it has an access list of its own or the plan names it:
    /// without one it has the table's rights and no other (PostgreSQL, "Privileges").
    /// - Parameter version: `server_version_num`; MAINTAIN is there from 17 on.
    static func tables(version: Int) -> String {
        let verbs =
            ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
            + (version >= 170_000 ? ["MAINTAIN"] : [])
        let list = verbs.map { "('\($0)')" }.joined(separator: ", ")
        return """
            WITH RECURSIVE \(plan),
            \(asked),
            me AS (SELECT oid FROM pg_roles WHERE rolname = $2::text),
            granted AS MATERIALIZED (
                SELECT c.oid AS rel, format('%I.%I', n.nspname, c.relname) AS object
                FROM me, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('r', 'v', 'm', 'f', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                    AND has_table_privilege(me.oid, c.oid, '\(verbs.joined(separator: ", "))')
            ),
            granted_columns AS MATERIALIZED (
                SELECT a.attrelid AS rel, a.attnum, a.attname, format('%I.%I', n.nspname, c.relname) AS object
                FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE a.attacl IS NOT NULL AND NOT a.attisdropped AND c.relkind IN ('r', 'v', 'm', 'f', 'p')
                    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
            ),
            granted_sequences AS MATERIALIZED (
                SELECT c.oid AS rel, format('%I.%I', n.nspname, c.relname) AS object
                FROM me, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind = 'S' AND n.nspname !~ '^pg_'
                    AND has_sequence_privilege(me.oid, c.oid, 'USAGE, SELECT, UPDATE')
            ),
            family(parent, child, via) AS (
                SELECT p.rel, i.inhrelid, i.inhparent FROM plan p JOIN pg_inherits i ON i.inhparent = p.rel
                UNION SELECT f.parent, i.inhrelid, i.inhparent FROM family f JOIN pg_inherits i ON i.inhparent = f.child
            ),
            seen(view, source) AS (
                SELECT p.rel, d.refobjid FROM plan p JOIN pg_rewrite w ON w.ev_class = p.rel
                JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> p.rel
                WHERE p.relkind IN ('v', 'm')
                UNION SELECT s.source, d.refobjid FROM seen s JOIN pg_rewrite w ON w.ev_class = s.source
                JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                    AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> s.source
            )
            \(without(accepted: 3, found(list)))
            """
    }

    private static func found(_ verbs: String) -> String {
        """
        SELECT 'table', v.verb || ' ON ' || o.object, format('REVOKE %s ON TABLE %s FROM PUBLIC', v.verb, o.object)
        FROM me, granted o CROSS JOIN (VALUES \(verbs)) AS v(verb)
        WHERE has_table_privilege(me.oid, o.rel, v.verb)
            AND NOT EXISTS (SELECT 1 FROM asked k WHERE k.rel = o.rel AND k.verb = v.verb AND k.columns = 'true'::jsonb)
        UNION ALL
        SELECT 'missing-right', k.verb || ' ON ' || format('%I.%I', k.s, k.t), NULL
        FROM me, asked k WHERE k.columns = 'true'::jsonb AND NOT has_table_privilege(me.oid, k.rel, k.verb)
        UNION ALL
        SELECT 'column', format('%s ON %s(%I)', v.verb, o.object, o.attname),
            format('REVOKE %s (%I) ON TABLE %s FROM PUBLIC', v.verb, o.attname, o.object)
        FROM me, granted_columns o CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('REFERENCES')) AS v(verb)
        WHERE has_column_privilege(me.oid, o.rel, o.attnum, v.verb) AND NOT has_table_privilege(me.oid, o.rel, v.verb)
            AND NOT EXISTS (SELECT 1 FROM asked_columns k WHERE k.rel = o.rel AND k.attnum = o.attnum AND k.verb = v.verb)
        UNION ALL
        SELECT 'missing-right', format('%s ON %I.%I(%I)', k.verb, k.s, k.t, k.name), NULL
        FROM me, asked_columns k
        WHERE k.attnum IS NOT NULL AND NOT has_column_privilege(me.oid, k.rel, k.attnum, k.verb)
        UNION ALL
        SELECT 'missing-right', format('USAGE ON SCHEMA %I', k.s), NULL
        FROM me, (SELECT DISTINCT nsp, s FROM plan WHERE rel IS NOT NULL) k
        WHERE NOT has_schema_privilege(me.oid, k.nsp, 'USAGE')
        UNION ALL
        SELECT 'sequence', v.verb || ' ON ' || o.object, format('REVOKE %s ON SEQUENCE %s FROM PUBLIC', v.verb, o.object)
        FROM me, granted_sequences o CROSS JOIN (VALUES ('USAGE'), ('SELECT'), ('UPDATE')) AS v(verb)
        LEFT JOIN asked_sequences q ON q.rel = o.rel AND v.verb = 'USAGE'
        WHERE q.rel IS NULL AND has_sequence_privilege(me.oid, o.rel, v.verb)
        UNION ALL
        SELECT DISTINCT 'inherited', format('%I.%I', n.nspname, c.relname),
            CASE WHEN NOT c.relispartition THEN format('ALTER TABLE %I.%I NO INHERIT %s', n.nspname, c.relname, f.via::regclass) END
        FROM family f JOIN plan p ON p.rel = f.parent JOIN pg_class c ON c.oid = f.child
        JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN plan k ON k.rel = f.child
        WHERE CASE WHEN k.rel IS NULL THEN NOT c.relispartition ELSE
            NOT (\(covers("r")) AND \(covers("u")) AND \(covers("d"))) END
        UNION ALL
        SELECT DISTINCT 'row-security', format('%I.%I', n.nspname, c.relname),
            format('ALTER TABLE %I.%I FORCE ROW LEVEL SECURITY', n.nspname, c.relname)
        FROM seen s JOIN pg_class c ON c.oid = s.source JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_class w ON w.oid = s.view JOIN pg_roles o ON o.oid = w.relowner
        WHERE c.relrowsecurity AND (w.relkind = 'm' OR NOT coalesce('security_invoker=true' = ANY (w.reloptions), false))
            AND (w.relkind = 'm' OR o.rolsuper OR o.rolbypassrls OR (o.oid = c.relowner AND NOT c.relforcerowsecurity))
        """
    }

    /// Whether the plan allows the child (`k`) at least what it allows the parent (`p`).
    private static func covers(_ verb: String) -> String {
        "(k.\(verb) = 'true'::jsonb OR p.\(verb) = 'false'::jsonb OR (jsonb_typeof(k.\(verb)) = 'array' AND k.\(verb) @> p.\(verb)))"
    }
}
