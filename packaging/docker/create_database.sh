#!/bin/sh
# Create the role and the database of Sightline. The entry point of the Postgres image runs it once,
# as a superuser, when the data folder is empty.
set -eu
: "${SIGHTLINE_PASSWORD:?must be set}"

# The role owns its database and may create the roles of analysts, but is no superuser.
psql --no-psqlrc --set=ON_ERROR_STOP=1 --set=password="$SIGHTLINE_PASSWORD" \
    --username "${POSTGRES_USER:-postgres}" --dbname postgres <<'SQL'
CREATE ROLE sightline LOGIN CREATEROLE PASSWORD :'password';
CREATE DATABASE sightline OWNER sightline ENCODING 'UTF8' TEMPLATE template0;
REVOKE TEMPORARY ON DATABASE sightline FROM PUBLIC;
\connect sightline
REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA sightline_vector;
GRANT USAGE ON SCHEMA sightline_vector TO PUBLIC;
CREATE EXTENSION vector WITH SCHEMA sightline_vector;
GRANT SET ON PARAMETER temp_file_limit, log_min_messages TO sightline WITH GRANT OPTION;
SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', oid::regprocedure)
FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace
    AND proname ~ '^(pg_(try_)?advisory_|pg_sleep|pg_notify|pg_logical_emit|lo_|loread|lowrite|ts_stat|ts_rewrite)'
\gexec
SQL
