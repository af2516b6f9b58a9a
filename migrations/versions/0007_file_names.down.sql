DELETE FROM sightline.passage WHERE kind = 'name';
ALTER TABLE sightline.passage DROP CONSTRAINT passage_kind_check;
ALTER TABLE sightline.passage ADD CONSTRAINT passage_kind_check
CHECK (kind IN ('caption', 'chunk', 'row', 'page_text', 'ocr', 'subtitle'));
COMMENT ON VIEW analytics.passages IS
    'Text with the place it stands on: captions, chunks, rows, page text, OCR lines, subtitles.';
