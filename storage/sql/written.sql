-- name: lines_on
-- What was read in pictures, line by line where lines were told apart, and the text of pages that
-- have their own. Top to bottom within a picture.
SELECT asset_id, label, ARRAY[x0, y0, x1, y1], ordinal
FROM sightline.region
WHERE asset_id = ANY (%(asset_ids)s) AND kind = 'ocr_line' AND label IS NOT NULL
UNION ALL
SELECT asset_id, text, NULL, ordinal
FROM sightline.passage
WHERE asset_id = ANY (%(asset_ids)s) AND kind = 'page_text'
ORDER BY 1, 4
