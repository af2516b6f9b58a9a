-- Row-level security by collection; docs/tenancy.md says how the parts work together.
--
-- Three roles that nobody logs in as, made by arrange_roles() below:
--   sightline_reader     analysts' logins are members; reads the schema analytics
--   sightline_analytics  owns the views and functions there, so that they read the tables under
--                        the policies, which neither a superuser nor the tables' owner does
--   sightline_tenant     what the server turns into for one transaction, to work for a principal

-- A tenant is bound to the collections that tenant_collection lists, and to none where it lists
-- none: a collection that is deleted frees nobody. Who has no row here is bound to nothing.
CREATE TABLE sightline.tenant (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Name of a token, as the server says it in the setting sightline.principal.
    principal text UNIQUE,
    -- Name of a database role that logs in by itself: an analyst, or query_sql for a principal.
    login text UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(principal, login) > 0)
);

CREATE TABLE sightline.tenant_collection (
    tenant_id integer NOT NULL REFERENCES sightline.tenant ON DELETE CASCADE,
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    PRIMARY KEY (tenant_id, collection_id)
);
CREATE INDEX tenant_collection_idx ON sightline.tenant_collection (collection_id);

-- Whom this transaction works for; null for who is bound to nothing, 0 for a principal that is
-- not known. Only what may turn into sightline_tenant is asked for its principal: for all others
-- their own login decides, whatever they set.
CREATE FUNCTION sightline.current_tenant() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN current_setting('role') = 'sightline_tenant' THEN coalesce(
        (SELECT id FROM sightline.tenant
         WHERE principal = current_setting('sightline.principal', true)), 0)
    ELSE coalesce(
        (SELECT id FROM sightline.tenant WHERE login = session_user),
        -- query_sql for a principal that was released meanwhile
        CASE WHEN starts_with(session_user, 'sightline_query_') THEN 0 END)
    END
$$;

CREATE FUNCTION sightline.current_principal() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT principal FROM sightline.tenant WHERE id = sightline.current_tenant()
$$;

CREATE FUNCTION sightline.visible_collections() RETURNS integer[]
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN (SELECT sightline.current_tenant()) IS NULL
    THEN ARRAY(SELECT id FROM sightline.collection)
    ELSE ARRAY(SELECT collection_id FROM sightline.tenant_collection
               WHERE tenant_id = (SELECT sightline.current_tenant())) END
$$;

-- How many collections use a space, those included that the caller does not see.
CREATE FUNCTION sightline.users_of_space(space integer, of_grain text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM sightline.collection_space
    WHERE collection_space.space_id = space AND collection_space.grain = of_grain
$$;

REVOKE ALL ON FUNCTION
    sightline.current_tenant, sightline.current_principal, sightline.visible_collections,
    sightline.users_of_space
FROM PUBLIC;

-- Each policy asks once for a query what may be seen, and then compares numbers.
ALTER TABLE sightline.collection ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_collection ON sightline.collection
    USING (id = ANY ((SELECT sightline.visible_collections())::integer[]));

-- Also of each partition of embedding: a policy of the parent holds for what names the parent.
CREATE FUNCTION sightline.guard_by_collection(guarded regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', guarded);
    EXECUTE format(
        'CREATE POLICY by_collection ON %s USING (
            collection_id = ANY ((SELECT sightline.visible_collections())::integer[]))',
        guarded);
    IF to_regrole('sightline_analytics') IS NOT NULL THEN
        EXECUTE format('GRANT SELECT ON %s TO sightline_analytics', guarded);
    END IF;
    IF to_regrole('sightline_tenant') IS NOT NULL THEN
        EXECUTE format('GRANT SELECT ON %s TO sightline_tenant', guarded);
    END IF;
END
$$;
REVOKE ALL ON FUNCTION sightline.guard_by_collection FROM PUBLIC;

SELECT sightline.guard_by_collection(guarded)
FROM unnest(ARRAY[
    'sightline.collection_space', 'sightline.source', 'sightline.asset', 'sightline.passage',
    'sightline.embedding'
]::regclass[]) AS guarded;
SELECT sightline.guard_by_collection(inhrelid)
FROM pg_inherits WHERE inhparent = 'sightline.embedding'::regclass;

-- What hangs on an asset or a passage is seen where that is.
ALTER TABLE sightline.thumbnail ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_asset ON sightline.thumbnail
    USING (EXISTS (SELECT FROM sightline.asset AS a WHERE a.id = asset_id));
ALTER TABLE sightline.region ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_asset ON sightline.region
    USING (EXISTS (SELECT FROM sightline.asset AS a WHERE a.id = asset_id));
ALTER TABLE sightline.annotation ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_asset ON sightline.annotation
    USING (EXISTS (SELECT FROM sightline.asset AS a WHERE a.id = asset_id));
ALTER TABLE sightline.posting ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_passage ON sightline.posting
    USING (EXISTS (SELECT FROM sightline.passage AS p WHERE p.id = passage_id));

ALTER TABLE sightline.space ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_collection ON sightline.space USING (
    (SELECT sightline.current_tenant()) IS NULL
    OR EXISTS (SELECT FROM sightline.collection_space AS u WHERE u.space_id = space.id)
);

-- Searches of all collections, or of several at once, are the principal's own to see.
ALTER TABLE sightline.retrieval_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_collection ON sightline.retrieval_log
    USING (
        (SELECT sightline.current_tenant()) IS NULL
        OR principal = (SELECT sightline.current_principal())
        OR collection = ANY (ARRAY(SELECT c.name FROM sightline.collection AS c))
    )
    WITH CHECK (principal = (SELECT sightline.current_principal()));

-- Makes the roles and gives them what they need; changes nothing where all is as it should be.
-- `sightline grant-analyst` begins with it.
CREATE FUNCTION sightline.arrange_roles() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    role text;
    thing record;
    server name := (SELECT relowner::regrole FROM pg_class WHERE oid = 'sightline.asset'::regclass);
BEGIN
    -- Two that grant the same at once fail.
    PERFORM pg_advisory_xact_lock(hashtext('sightline_reader'));
    FOREACH role IN ARRAY ARRAY['sightline_reader', 'sightline_analytics', 'sightline_tenant'] LOOP
        IF to_regrole(role) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- somebody else was quicker
            END;
        END IF;
    END LOOP;
    FOREACH role IN ARRAY ARRAY['sightline_analytics', 'sightline_tenant'] LOOP
        IF NOT pg_has_role(server, role, 'MEMBER') THEN  -- a superuser is one of every role
            EXECUTE format('GRANT %I TO %I', role, server);
        END IF;
    END LOOP;

    GRANT USAGE ON SCHEMA sightline TO sightline_analytics, sightline_tenant;
    GRANT DELETE ON sightline.asset, sightline.source TO sightline_tenant;
    GRANT INSERT, UPDATE, DELETE ON sightline.annotation TO sightline_tenant;
    GRANT INSERT ON sightline.retrieval_log TO sightline_tenant;
    -- What a policy guards may be read; nothing else may.
    FOR thing IN
        SELECT oid::regclass AS name FROM pg_class
        WHERE relnamespace = 'sightline'::regnamespace AND relrowsecurity
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO sightline_analytics, sightline_tenant', thing.name);
    END LOOP;
    GRANT EXECUTE ON FUNCTION
        sightline.current_tenant, sightline.current_principal, sightline.visible_collections
    TO sightline_reader, sightline_analytics, sightline_tenant;
    GRANT EXECUTE ON FUNCTION sightline.users_of_space TO sightline_tenant;
    GRANT EXECUTE ON FUNCTION sightline.analytics_space TO sightline_analytics;

    GRANT USAGE, CREATE ON SCHEMA analytics TO sightline_analytics;
    FOR thing IN
        SELECT format('TABLE %s', oid::regclass) AS name FROM pg_class
        WHERE relnamespace = 'analytics'::regnamespace AND relkind IN ('v', 'r')
            AND relowner <> to_regrole('sightline_analytics')
        UNION ALL
        SELECT format('FUNCTION %s', oid::regprocedure) FROM pg_proc
        WHERE pronamespace = 'analytics'::regnamespace
            AND proowner <> to_regrole('sightline_analytics')
    LOOP
        EXECUTE format('ALTER %s OWNER TO sightline_analytics', thing.name);
    END LOOP;
    REVOKE CREATE ON SCHEMA analytics FROM sightline_analytics;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA analytics FROM PUBLIC;
    GRANT USAGE ON SCHEMA analytics TO sightline_reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO sightline_reader;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics TO sightline_reader;
END
$$;
COMMENT ON FUNCTION sightline.arrange_roles IS
    'Makes the roles of analysts and tenants, and gives them their rights.';
REVOKE ALL ON FUNCTION sightline.arrange_roles FROM PUBLIC;

-- What a migration ends with that adds a view, a function or a table for analysts. Who may not make
-- roles goes without, until an administrator runs `sightline grant-analyst`.
CREATE FUNCTION sightline.arrange_roles_if_allowed() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM sightline.arrange_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'the roles of analysts and tenants were not made: %', SQLERRM;
END
$$;
REVOKE ALL ON FUNCTION sightline.arrange_roles_if_allowed FROM PUBLIC;
SELECT sightline.arrange_roles_if_allowed();
