-- The schema stays, for it holds the version; so does the extension, which others may use.
DROP TABLE sightline.retrieval_log;
DROP TABLE sightline.annotation;
DROP TABLE sightline.embedding;
DROP TABLE sightline.posting;
DROP TABLE sightline.passage;
DROP TABLE sightline.region;
DROP TABLE sightline.thumbnail;
DROP TABLE sightline.asset;
DROP TABLE sightline.source;
DROP TABLE sightline.collection_space;
DROP TABLE sightline.space;
DROP TABLE sightline.collection;
