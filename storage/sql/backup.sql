-- Files of users, which lie outside of the data folder.

-- name: originals
-- Each file with the SHA-256 of its bytes at the ingest.
SELECT location, sha256 FROM sightline.asset WHERE starts_with(location, 'file:')
UNION
SELECT location, content_key FROM sightline.source
WHERE state = 'done' AND starts_with(location, 'file:')
ORDER BY location

-- name: database_bytes
SELECT pg_database_size(current_database())

-- name: use_stored
-- Lets rows of these files use the stored bytes instead of the file.
WITH stored AS (
    SELECT unnest(%(hashes)s::bytea[]) AS sha256
), changed AS (
    UPDATE sightline.asset SET location = 'object:' || encode(stored.sha256, 'hex')
    FROM stored WHERE asset.sha256 = stored.sha256 AND starts_with(asset.location, 'file:')
)
UPDATE sightline.source SET location = 'object:' || encode(stored.sha256, 'hex')
FROM stored WHERE source.content_key = stored.sha256 AND starts_with(source.location, 'file:')
