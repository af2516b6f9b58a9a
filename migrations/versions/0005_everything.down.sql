-- Who was bound to everything is bound to nothing: less is seen, and never more.
ALTER TABLE sightline.tenant DROP COLUMN everything;
