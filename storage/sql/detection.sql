-- name: outdated
-- Pictures that were not searched by this run, in the order of their ids.
SELECT asset.id, asset.location, asset.sha256, source.name AS source
FROM sightline.asset
JOIN sightline.source ON source.id = asset.source_id
WHERE asset.collection_id = %(collection_id)s
AND asset.kind <> 'audio'
AND asset.detection_run IS DISTINCT FROM %(run)s
AND asset.id > %(after)s
ORDER BY asset.id
LIMIT %(limit)s

-- name: delete_of_assets
DELETE FROM sightline.annotation
WHERE asset_id = ANY (%(ids)s) AND origin = 'detector'

-- name: insert
-- An asset may have been deleted meanwhile.
INSERT INTO sightline.annotation (asset_id, label, x0, y0, x1, y1, score, origin, model)
SELECT found.asset_id, label, x0, y0, x1, y1, score, 'detector', %(model)s
FROM unnest(
    %(asset_ids)s::text[], %(labels)s::text[], %(scores)s::real[],
    %(x0)s::real[], %(y0)s::real[], %(x1)s::real[], %(y1)s::real[]
) AS found (asset_id, label, score, x0, y0, x1, y1)
WHERE EXISTS (SELECT FROM sightline.asset WHERE asset.id = found.asset_id)

-- name: mark
UPDATE sightline.asset SET detection_run = %(run)s WHERE id = ANY (%(ids)s)

-- name: delete_all
DELETE FROM sightline.annotation
USING sightline.asset
WHERE asset.collection_id = %(collection_id)s
AND asset.detection_run IS NOT NULL
AND annotation.asset_id = asset.id
AND annotation.origin = 'detector'

-- name: unmark_all
UPDATE sightline.asset SET detection_run = NULL
WHERE collection_id = %(collection_id)s AND detection_run IS NOT NULL
