-- Sources whose files may be gone.

-- name: source_files
-- Uploads, URLs and members of archives have no file of their own.
SELECT
    id, name, location, state,
    (SELECT count(*) FROM sightline.asset WHERE source_id = source.id) AS assets
FROM sightline.source
WHERE collection_id = %(collection_id)s AND location LIKE 'file:%%'
ORDER BY location
