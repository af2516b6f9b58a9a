-- Lines of text that were read in pictures.

-- name: lines_of
SELECT asset_id, x0, y0, x1, y1, label
FROM sightline.region
WHERE asset_id = ANY (%(ids)s) AND kind = 'ocr_line'
ORDER BY asset_id, ordinal
