-- Views and functions go back to the tables' owner, then nothing hangs on the roles any more.
DO $$
DECLARE
    server name := (SELECT relowner::regrole FROM pg_class WHERE oid = 'sightline.asset'::regclass);
    thing record;
BEGIN
    FOR thing IN
        SELECT format('TABLE %s', oid::regclass) AS name FROM pg_class
        WHERE relnamespace = 'analytics'::regnamespace AND relkind IN ('v', 'r')
        UNION ALL
        SELECT format('FUNCTION %s', oid::regprocedure) FROM pg_proc
        WHERE pronamespace = 'analytics'::regnamespace
    LOOP
        EXECUTE format('ALTER %s OWNER TO %I', thing.name, server);
    END LOOP;
    FOR thing IN
        SELECT polname AS policy, polrelid::regclass AS name, polrelid FROM pg_policy
        JOIN pg_class ON pg_class.oid = polrelid
        WHERE relnamespace = 'sightline'::regnamespace
    LOOP
        EXECUTE format('DROP POLICY %I ON %s', thing.policy, thing.name);
        EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', thing.name);
    END LOOP;
    IF to_regrole('sightline_analytics') IS NOT NULL THEN
        REVOKE ALL ON ALL TABLES IN SCHEMA sightline FROM sightline_analytics, sightline_tenant;
        REVOKE ALL ON ALL FUNCTIONS IN SCHEMA sightline
            FROM sightline_analytics, sightline_tenant, sightline_reader;
        REVOKE ALL ON SCHEMA sightline, analytics FROM sightline_analytics, sightline_tenant;
    END IF;
END
$$;
DROP FUNCTION
    sightline.arrange_roles_if_allowed, sightline.arrange_roles, sightline.guard_by_collection,
    sightline.users_of_space, sightline.visible_collections, sightline.current_principal, sightline.current_tenant;
DROP TABLE sightline.tenant_collection, sightline.tenant;
