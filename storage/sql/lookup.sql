-- name: assets_of_files
-- Pictures of the sources whose names end in one of the file names.
SELECT source.name, asset.id, asset.page
FROM sightline.source
JOIN sightline.asset ON asset.source_id = source.id
JOIN sightline.collection ON collection.id = source.collection_id
WHERE (%(collection)s::text IS NULL OR collection.name = %(collection)s)
AND regexp_replace(source.name, '^.*/', '') = ANY (%(files)s)
ORDER BY source.name, asset.page, asset.frame_seconds, asset.id

-- name: passages_of_files
SELECT source.name, passage.id, passage.page, passage.kind, passage.text
FROM sightline.source
JOIN sightline.passage ON passage.source_id = source.id
JOIN sightline.collection ON collection.id = source.collection_id
WHERE (%(collection)s::text IS NULL OR collection.name = %(collection)s)
AND regexp_replace(source.name, '^.*/', '') = ANY (%(files)s)
ORDER BY source.name, passage.id
