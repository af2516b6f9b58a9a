-- name: asset_text_lines
-- OCR lines with their boxes, and the text layer of pages (without box), in reading order.
SELECT asset_id, label AS text, ARRAY[x0, y0, x1, y1] AS box, ordinal
FROM sightline.region
WHERE asset_id = ANY (%(asset_ids)s) AND kind = 'ocr_line' AND label IS NOT NULL
UNION ALL
SELECT asset_id, text, NULL, ordinal
FROM sightline.passage
WHERE asset_id = ANY (%(asset_ids)s) AND kind = 'page_text'
ORDER BY 1, 4
