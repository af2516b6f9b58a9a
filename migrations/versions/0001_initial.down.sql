-- The extension stays: others in this database may use it.
DROP SCHEMA sightline CASCADE;
