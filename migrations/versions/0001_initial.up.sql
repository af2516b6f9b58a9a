-- Initial schema: tables (schema sightline), views and functions for analysts (schema analytics),
-- and row-level security. env.py creates both schemas and the extension pgvector.
--
-- Every function has a fixed search path: the system catalog, the schema of pgvector, and last the
-- caller's temporary tables, so that no caller can replace a name.
SELECT set_config('search_path', format('pg_catalog, %I, pg_temp', nspname), true)
FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
WHERE extname = 'vector';
-- Load pgvector: before that only a superuser can attach its settings to a function.
SELECT '[1]'::halfvec;

---------------------------------------------------------------------------------------------------
-- Tables
---------------------------------------------------------------------------------------------------

-- Locks of every installation; storage/db/row_locks.py inserts the others at their first use.
-- env.py creates the table, for its own lock.
INSERT INTO sightline.lock (name) VALUES ('blobs'), ('embedding_spaces'), ('roles')
ON CONFLICT DO NOTHING;

-- Public ids: a keyed permutation of a sequence, so that nobody can count the rows of others. They
-- have 53 bits, which every JSON parser keeps.
CREATE TABLE sightline.id_key (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    key bytea NOT NULL CHECK (length(key) = 32)
);
COMMENT ON TABLE sightline.id_key IS
    'The secret key of the permutation and of the ids of assets; one row.';
INSERT INTO sightline.id_key (key)
VALUES (sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())));

-- A Feistel network: bijective for every round function.
CREATE FUNCTION sightline.permute(number bigint, bits integer, key bytea) RETURNS bigint
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    width integer := bits - bits / 2;  -- of the left half; the widths alternate
    high bigint := number >> (bits - width);
    low bigint := number & ((1::bigint << (bits - width)) - 1);
    mixed bigint;
BEGIN
    FOR round IN 1..8 LOOP
        mixed := ('x' || left(
            encode(sha256(key || int4send(round) || int8send(low)), 'hex'), 12))::bit(48)::bigint;
        mixed := high # (mixed & ((1::bigint << width) - 1));
        high := low;
        low := mixed;
        width := bits - width;
    END LOOP;
    RETURN high << (bits - width) | low;
END
$$;

CREATE FUNCTION sightline.permuted_number(of_table text, bits integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT sightline.permute(
        nextval(format('sightline.%I', of_table || '_number')::regclass), bits,
        key || convert_to(of_table, 'UTF8'))
    FROM sightline.id_key
$$;

CREATE FUNCTION sightline.new_id(of_table text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT sightline.permuted_number(of_table, 53)
$$;

-- Tables that are loaded in bulk get blocks of ids, so that the rows of a load are close together
-- in an index.
CREATE FUNCTION sightline.new_id_block(of_table text) RETURNS bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT sightline.permuted_number(of_table, 37) << 16
$$;

CREATE FUNCTION sightline.new_ids(of_table text, amount integer) RETURNS SETOF bigint
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT block.start + step
    FROM (
        SELECT (number - 1) * 65536 AS skipped, sightline.new_id_block(of_table) AS start
        FROM generate_series(1, (amount + 65535) / 65536) AS number
    ) AS block
    CROSS JOIN LATERAL generate_series(0, least(65536, amount - block.skipped) - 1) AS step
$$;

REVOKE ALL ON FUNCTION
    sightline.permute, sightline.permuted_number, sightline.new_id, sightline.new_id_block,
    sightline.new_ids
FROM PUBLIC;

CREATE SEQUENCE sightline.source_number MAXVALUE 9007199254740991;
CREATE SEQUENCE sightline.annotation_number MAXVALUE 9007199254740991;
CREATE SEQUENCE sightline.retrieval_log_number MAXVALUE 9007199254740991;
CREATE SEQUENCE sightline.region_number MAXVALUE 137438953471;  -- of blocks
CREATE SEQUENCE sightline.passage_number MAXVALUE 137438953471;

CREATE TABLE sightline.collection (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name <> '' AND length(name) <= 64),
    settings jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE sightline.collection IS 'A named set of material.';
COMMENT ON COLUMN sightline.collection.settings IS
    'Declared metadata keys, OCR mode, tiles. Embedding spaces: see collection_embedding_space.';

CREATE TABLE sightline.embedding_space (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    encoder text NOT NULL,
    weights text NOT NULL,
    preprocessing text NOT NULL,
    dimension integer NOT NULL CHECK (dimension BETWEEN 1 AND 4000),
    level text NOT NULL CHECK (level IN ('asset', 'region', 'passage')),
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (encoder, weights, preprocessing, dimension, level)
);
COMMENT ON TABLE sightline.embedding_space IS
    'One encoder at one level. Vectors of different embedding spaces are never compared.';
COMMENT ON COLUMN sightline.embedding_space.weights IS 'Fingerprint of the weights.';
COMMENT ON COLUMN sightline.embedding_space.preprocessing IS 'Fingerprint of the preprocessing.';
COMMENT ON COLUMN sightline.embedding_space.level IS
    'What one vector represents: an asset, a region or a passage.';

CREATE TABLE sightline.collection_embedding_space (
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    level text NOT NULL CHECK (level IN ('asset', 'region', 'passage')),
    embedding_space_id integer NOT NULL REFERENCES sightline.embedding_space,
    PRIMARY KEY (collection_id, level)
);
COMMENT ON TABLE sightline.collection_embedding_space IS
    'The embedding space that a collection uses at each level.';

CREATE TABLE sightline.kept_embedding_space (
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    level text NOT NULL CHECK (level IN ('asset', 'region', 'passage')),
    role text NOT NULL CHECK (role IN ('next', 'previous')),
    embedding_space_id integer NOT NULL REFERENCES sightline.embedding_space,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (collection_id, level, role),
    UNIQUE (collection_id, embedding_space_id)
);
COMMENT ON TABLE sightline.kept_embedding_space IS
    'Embedding spaces of a collection beside those that it uses, by `sightline reencode`.';
COMMENT ON COLUMN sightline.kept_embedding_space.role IS
    'next: its vectors are being made. previous: the collection used it before, and can again.';
COMMENT ON COLUMN sightline.kept_embedding_space.since IS
    'Of a previous one: the time of the switch. Material that came later has no vectors in it.';

CREATE TABLE sightline.encoder_reliability (
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    embedding_space_id integer NOT NULL REFERENCES sightline.embedding_space ON DELETE CASCADE,
    asset_kind text NOT NULL CHECK (asset_kind IN ('image', 'page', 'frame')),
    reliability real NOT NULL CHECK (reliability BETWEEN 0 AND 1),
    text_deviation real CHECK (text_deviation > 0),
    asset_count integer NOT NULL,
    caption_count integer NOT NULL,
    measured_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (collection_id, embedding_space_id, asset_kind)
);
COMMENT ON TABLE sightline.encoder_reliability IS
    'How well the encoder of a collection finds its assets by text: 0 is chance, 1 is always.';
COMMENT ON COLUMN sightline.encoder_reliability.text_deviation IS
    'Usual standard deviation of the similarities of a text to assets; null without texts.';
COMMENT ON COLUMN sightline.encoder_reliability.asset_count IS
    'Assets of this kind at the measurement, as caption_count: it is repeated after changes.';

CREATE TABLE sightline.source (
    id bigint PRIMARY KEY DEFAULT sightline.new_id('source'),
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    content_key bytea NOT NULL CHECK (length(content_key) = 32),
    name text NOT NULL,
    location text NOT NULL,
    kind text NOT NULL CHECK (
        kind IN ('image', 'pdf', 'document', 'video', 'audio', 'text', 'unknown')),
    mime_type text,
    byte_size bigint,
    metadata jsonb NOT NULL DEFAULT '{}',
    sidecar_sha256 bytea,
    ocr_engine text,
    transcriber text,
    tile_scheme text,
    state text NOT NULL CHECK (state IN ('done', 'failed')),
    error_code text,
    error text,
    ingested_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (collection_id, content_key),
    CHECK ((state = 'failed') = (error IS NOT NULL))
);
-- Finds out whether a row still refers to a stored blob.
CREATE INDEX source_location_idx ON sightline.source USING hash (location);
COMMENT ON TABLE sightline.source IS 'An ingested file or URL, or one that failed.';
COMMENT ON COLUMN sightline.source.content_key IS
    'SHA-256 of the bytes. If the bytes were unreadable: SHA-256 of "path:" and the location.';
COMMENT ON COLUMN sightline.source.name IS 'Name as given by the user; shown in results.';
COMMENT ON COLUMN sightline.source.location IS
    'Where the bytes are: "file:/absolute/path" or "object:<sha256>" in the data folder.';
COMMENT ON COLUMN sightline.source.sidecar_sha256 IS
    'SHA-256 of caption and metadata, to detect a changed sidecar.';
COMMENT ON COLUMN sightline.source.ocr_engine IS
    'OCR mode and engine, such as "auto: rapidocr"; null if OCR did not run.';
COMMENT ON COLUMN sightline.source.transcriber IS
    'Model that transcribed the sound; null if none did. The next ingest adds missing speech.';
COMMENT ON COLUMN sightline.source.tile_scheme IS
    'How the images were cut into tiles; null if they have none. The next ingest adds missing tiles.';

CREATE TABLE sightline.asset (
    id text PRIMARY KEY CHECK (id ~ '^[0-9a-z]{12}$'),
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    source_id bigint NOT NULL REFERENCES sightline.source ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('image', 'page', 'frame', 'audio')),
    ordinal integer NOT NULL DEFAULT 0,
    page integer CHECK (page >= 1),
    frame_seconds real CHECK (frame_seconds >= 0),
    location text NOT NULL,
    sha256 bytea NOT NULL CHECK (length(sha256) = 32),
    width integer NOT NULL CHECK (width > 0),
    height integer NOT NULL CHECK (height > 0),
    captured_at timestamptz,
    captured_local timestamp,
    caption text,
    metadata jsonb NOT NULL DEFAULT '{}',
    latitude double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude double precision CHECK (longitude BETWEEN -180 AND 180),
    perceptual_hash bigint,
    symmetric_hash smallint,
    reading text CHECK (
        reading IN (
            'text layer', 'scan', 'garbled', 'hidden layer', 'figures', 'form', 'unreadable')),
    detection_run text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (source_id, ordinal),
    CHECK ((latitude IS NULL) = (longitude IS NULL))
);
CREATE INDEX asset_collection_idx ON sightline.asset (collection_id);
CREATE INDEX asset_captured_idx ON sightline.asset (collection_id, captured_at);
CREATE INDEX asset_latitude_idx ON sightline.asset (latitude) WHERE latitude IS NOT NULL;
CREATE INDEX asset_metadata_idx ON sightline.asset USING gin (metadata jsonb_path_ops);
CREATE INDEX asset_location_idx ON sightline.asset USING hash (location);
CREATE INDEX asset_hash_idx ON sightline.asset (symmetric_hash, collection_id);
COMMENT ON TABLE sightline.asset IS
    'One viewable image: an image file, a document page, a video frame, or the waveform of a sound.';
COMMENT ON COLUMN sightline.asset.id IS 'Short stable id, derived from collection and content.';
COMMENT ON COLUMN sightline.asset.ordinal IS
    'Position in the source: 0 for an image, else the page index or frame index.';
COMMENT ON COLUMN sightline.asset.location IS
    'Where the bytes of this image are: "object:<sha256>" if the source itself is not an image.';
COMMENT ON COLUMN sightline.asset.width IS 'Pixels, upright (after EXIF rotation).';
COMMENT ON COLUMN sightline.asset.captured_local IS
    'captured_at in local time at the place of capture, for time-of-day filters.';
COMMENT ON COLUMN sightline.asset.latitude IS
    'Degrees, WGS 84, as longitude: where it was taken; null if unknown.';
COMMENT ON COLUMN sightline.asset.detection_run IS
    'The detector, and a digest of the vocabulary that it has looked for; null without one.';
COMMENT ON COLUMN sightline.asset.perceptual_hash IS
    'Signs of 63 low frequencies of the picture; null for a plain picture.';
COMMENT ON COLUMN sightline.asset.symmetric_hash IS
    '16 bits that are the same for all rotations by quarters and mirror images of the picture.';
COMMENT ON COLUMN sightline.asset.reading IS
    'How the text was read: "text layer" of the page; by OCR because it is a "scan", because the layer '
    'is "garbled" or hidden and wrong ("hidden layer"), or of its pictures only ("figures"); "form": '
    'with values of fields; "unreadable": text was seen, but not read. Null for other images.';

-- A separate table keeps scans of asset narrow.
CREATE TABLE sightline.thumbnail (
    asset_id text PRIMARY KEY REFERENCES sightline.asset ON DELETE CASCADE,
    jpeg bytea NOT NULL,
    width integer NOT NULL,
    height integer NOT NULL,
    local_hashes bytea
);
COMMENT ON TABLE sightline.thumbnail IS 'Small JPEG of an asset.';
COMMENT ON COLUMN sightline.thumbnail.local_hashes IS
    'Hashes of up to 64 spots with their places, as in storage/picture_hashes/.';

-- Other assets have no foreign key: two deletions would wait for each other's pairs.
CREATE TABLE sightline.picture_pair (
    collection_id integer NOT NULL,
    asset_id text NOT NULL REFERENCES sightline.asset ON DELETE CASCADE,
    other_asset_id text NOT NULL,
    PRIMARY KEY (asset_id, other_asset_id)
);
CREATE INDEX picture_pair_other_idx ON sightline.picture_pair (other_asset_id);
COMMENT ON TABLE sightline.picture_pair IS
    'Assets that show the same, in both directions, as judged when they were ingested.';

CREATE TABLE sightline.region (
    id bigint PRIMARY KEY DEFAULT sightline.new_id_block('region'),
    asset_id text NOT NULL REFERENCES sightline.asset ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('tile', 'ocr_line', 'detection')),
    ordinal integer NOT NULL DEFAULT 0,
    x0 real NOT NULL CHECK (x0 >= 0), y0 real NOT NULL CHECK (y0 >= 0),
    x1 real NOT NULL CHECK (x1 <= 1), y1 real NOT NULL CHECK (y1 <= 1),
    label text,
    score real,
    UNIQUE (asset_id, kind, ordinal),
    CHECK (x0 < x1 AND y0 < y1)
);
COMMENT ON TABLE sightline.region IS
    'A part of an asset. Box x0, y0, x1, y1: corners, normalized to 0..1, origin top left.';

CREATE TABLE sightline.passage (
    id bigint PRIMARY KEY DEFAULT sightline.new_id_block('passage'),
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    source_id bigint NOT NULL REFERENCES sightline.source ON DELETE CASCADE,
    asset_id text REFERENCES sightline.asset ON DELETE CASCADE,
    region_id bigint REFERENCES sightline.region ON DELETE CASCADE,
    kind text NOT NULL CHECK (
        kind IN ('caption', 'chunk', 'row', 'page_text', 'ocr', 'subtitle', 'speech', 'name', 'note',
            'field', 'metadata')),
    ordinal integer NOT NULL DEFAULT 0,
    text text NOT NULL,
    language text,
    page integer,
    start_seconds real,
    end_seconds real,
    char_start integer,
    char_end integer,
    x0 real, y0 real, x1 real, y1 real,
    confidence real,
    tokens tsvector NOT NULL,
    token_count integer NOT NULL,
    outside_vocabulary boolean NOT NULL DEFAULT false,
    CHECK (num_nonnulls(x0, y0, x1, y1) IN (0, 4)),
    CHECK (x0 IS NULL OR (x0 >= 0 AND y0 >= 0 AND x1 <= 1 AND y1 <= 1 AND x0 < x1 AND y0 < y1))
);
-- In the order in which a text is read.
CREATE INDEX passage_source_idx ON sightline.passage (
    source_id, coalesce(page, 0), coalesce(start_seconds, '-infinity'::real), ordinal, id
);
CREATE INDEX passage_asset_idx ON sightline.passage (asset_id);
CREATE INDEX passage_region_idx ON sightline.passage (region_id) WHERE region_id IS NOT NULL;
CREATE INDEX passage_collection_idx ON sightline.passage (collection_id, kind);
CREATE INDEX passage_tokens_idx ON sightline.passage USING gin (tokens);
COMMENT ON TABLE sightline.passage IS
    'Text with provenance. A box is in the frame of the asset, as in region.';
COMMENT ON COLUMN sightline.passage.kind IS
    'caption, chunk, row, page_text, ocr, subtitle, speech (transcribed), name (the file name), note '
    'or field (of a page), or metadata (keywords, people and places).';
COMMENT ON COLUMN sightline.passage.tokens IS
    'Words, stems and Chinese segments of storage/text, with positions.';
COMMENT ON COLUMN sightline.passage.token_count IS 'Number of tokens, for BM25.';
COMMENT ON COLUMN sightline.passage.outside_vocabulary IS
    'The passage encoder does not know the text, so the passage has no vector.';

CREATE TABLE sightline.posting (
    -- Collation "C": prefix searches are byte ranges.
    term text COLLATE "C" NOT NULL,
    passage_id bigint NOT NULL REFERENCES sightline.passage ON DELETE CASCADE,
    frequency smallint NOT NULL CHECK (frequency > 0),
    PRIMARY KEY (term, passage_id) INCLUDE (frequency)
);
CREATE INDEX posting_passage_idx ON sightline.posting (passage_id);
COMMENT ON TABLE sightline.posting IS 'BM25 postings: how often a term occurs in a passage.';

CREATE TABLE sightline.vocabulary (
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    word text COLLATE "C" NOT NULL,
    term text COLLATE "C" NOT NULL,
    reversed_word text COLLATE "C" NOT NULL GENERATED ALWAYS AS (reverse(word)) STORED,
    PRIMARY KEY (collection_id, word)
);
CREATE INDEX vocabulary_reversed_idx ON sightline.vocabulary (collection_id, reversed_word);
CREATE INDEX vocabulary_term_idx ON sightline.vocabulary (collection_id, term);
COMMENT ON TABLE sightline.vocabulary IS
    'The words of a collection, with their terms in postings: to find words near misspelled ones.';

CREATE TABLE sightline.embedding (
    embedding_space_id integer NOT NULL REFERENCES sightline.embedding_space,
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    asset_id text REFERENCES sightline.asset ON DELETE CASCADE,
    region_id bigint REFERENCES sightline.region ON DELETE CASCADE,
    passage_id bigint REFERENCES sightline.passage ON DELETE CASCADE,
    embedding halfvec NOT NULL,
    CHECK (asset_id IS NOT NULL OR passage_id IS NOT NULL),
    UNIQUE NULLS NOT DISTINCT (embedding_space_id, asset_id, region_id, passage_id)
) PARTITION BY LIST (embedding_space_id);
CREATE INDEX embedding_asset_idx ON sightline.embedding (asset_id);
CREATE INDEX embedding_region_idx ON sightline.embedding (region_id) WHERE region_id IS NOT NULL;
CREATE INDEX embedding_passage_idx ON sightline.embedding (passage_id) WHERE passage_id IS NOT NULL;
CREATE INDEX embedding_collection_idx ON sightline.embedding (collection_id);
COMMENT ON TABLE sightline.embedding IS
    'Vectors. One partition per embedding space checks the dimension and has the HNSW index.';

CREATE TABLE sightline.annotation (
    id bigint PRIMARY KEY DEFAULT sightline.new_id('annotation'),
    asset_id text NOT NULL REFERENCES sightline.asset ON DELETE CASCADE,
    label text NOT NULL,
    x0 real NOT NULL CHECK (x0 >= 0), y0 real NOT NULL CHECK (y0 >= 0),
    x1 real NOT NULL CHECK (x1 <= 1), y1 real NOT NULL CHECK (y1 <= 1),
    score real,
    origin text NOT NULL CHECK (origin IN ('person', 'model', 'file', 'detector')),
    model text,
    author text,
    note text,
    -- The order of the annotations of one call; ids have none.
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK (x0 < x1 AND y0 < y1)
);
CREATE INDEX annotation_asset_idx ON sightline.annotation (asset_id);
CREATE INDEX annotation_label_idx ON sightline.annotation USING hash (lower(label));
-- Statistics of an expression would tell an analyst about rows that the analyst cannot see.
ALTER INDEX sightline.annotation_label_idx ALTER COLUMN 1 SET STATISTICS 0;
COMMENT ON TABLE sightline.annotation IS
    'A labeled box on an asset, by a person, a model or the detector of the ingest, or from a file.';

CREATE TABLE sightline.retrieval_log (
    id bigint PRIMARY KEY DEFAULT sightline.new_id('retrieval_log'),
    created_at timestamptz NOT NULL DEFAULT now(),
    principal text,
    tool text NOT NULL,
    collection text,
    query text,
    arguments jsonb NOT NULL DEFAULT '{}',
    timings_ms jsonb NOT NULL DEFAULT '{}',
    total_ms real NOT NULL,
    result_count integer NOT NULL,
    weak_count integer,
    results jsonb NOT NULL DEFAULT '[]',
    request_id text
);
CREATE INDEX retrieval_log_created_at_idx ON sightline.retrieval_log (created_at);
CREATE INDEX retrieval_log_principal_idx ON sightline.retrieval_log (principal, created_at);
COMMENT ON TABLE sightline.retrieval_log IS 'Searches with stage times and results.';
COMMENT ON COLUMN sightline.retrieval_log.weak_count IS
    'Results that do not stand out from chance; null if the search does not tell.';
COMMENT ON COLUMN sightline.retrieval_log.results IS
    'Asset or passage ids with scores, best first; "weak" if they do not stand out from chance.';

-- Result of `sightline analyze` for one collection, embedding space and number of clusters.
CREATE TABLE sightline.cluster (
    embedding_space_id integer NOT NULL REFERENCES sightline.embedding_space ON DELETE CASCADE,
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    k integer NOT NULL CHECK (k > 0),
    number integer NOT NULL CHECK (number >= 0),
    asset_count integer NOT NULL,
    representative_asset_id text REFERENCES sightline.asset ON DELETE SET NULL,
    mean_distance double precision NOT NULL,
    analyzed_at timestamptz NOT NULL,
    PRIMARY KEY (collection_id, embedding_space_id, k, number)
);
CREATE INDEX cluster_representative_idx ON sightline.cluster (representative_asset_id);
COMMENT ON TABLE sightline.cluster IS 'A k-means cluster of assets, by `sightline analyze`.';
COMMENT ON COLUMN sightline.cluster.representative_asset_id IS 'The asset nearest to the centroid.';
COMMENT ON COLUMN sightline.cluster.mean_distance IS
    'Mean cosine distance of the assets from the centroid.';

CREATE TABLE sightline.cluster_member (
    embedding_space_id integer NOT NULL,
    collection_id integer NOT NULL,
    k integer NOT NULL,
    number integer NOT NULL,
    asset_id text NOT NULL REFERENCES sightline.asset ON DELETE CASCADE,
    distance real NOT NULL,
    PRIMARY KEY (asset_id, embedding_space_id, k),
    FOREIGN KEY (collection_id, embedding_space_id, k, number)
        REFERENCES sightline.cluster ON DELETE CASCADE
);
CREATE INDEX cluster_member_idx
ON sightline.cluster_member (collection_id, embedding_space_id, k, number);
COMMENT ON TABLE sightline.cluster_member IS 'The cluster of each asset.';

CREATE TABLE sightline.compared_asset (
    embedding_space_id integer NOT NULL REFERENCES sightline.embedding_space ON DELETE CASCADE,
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    asset_id text NOT NULL REFERENCES sightline.asset ON DELETE CASCADE,
    crowded boolean NOT NULL DEFAULT false,
    PRIMARY KEY (asset_id, embedding_space_id)
);
COMMENT ON TABLE sightline.compared_asset IS
    'Assets whose ten nearest neighbors `sightline analyze` has searched.';
COMMENT ON COLUMN sightline.compared_asset.crowded IS
    'All ten were near and some in other collections, so nearer ones may hide pairs.';

CREATE TABLE sightline.near_duplicate (
    embedding_space_id integer NOT NULL,
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    asset_id text NOT NULL,
    other_asset_id text NOT NULL REFERENCES sightline.asset ON DELETE CASCADE,
    distance double precision NOT NULL,
    PRIMARY KEY (asset_id, embedding_space_id, other_asset_id),
    FOREIGN KEY (asset_id, embedding_space_id)
        REFERENCES sightline.compared_asset ON DELETE CASCADE
);
CREATE INDEX near_duplicate_other_idx ON sightline.near_duplicate (other_asset_id);
CREATE INDEX near_duplicate_distance_idx ON sightline.near_duplicate (embedding_space_id, distance);
COMMENT ON TABLE sightline.near_duplicate IS
    'Neighbors of compared assets with a cosine distance of at most 0.2.';

CREATE TABLE sightline.principal (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text UNIQUE,
    db_role text UNIQUE,
    all_collections boolean NOT NULL DEFAULT false
        CHECK (NOT all_collections OR name IS NOT NULL),
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(name, db_role) > 0)
);
COMMENT ON TABLE sightline.principal IS
    'Who is bound to collections: those in collection_binding, or none if there are none.';
COMMENT ON COLUMN sightline.principal.name IS
    'Token name; the server sets it in the variable sightline.principal.';
COMMENT ON COLUMN sightline.principal.db_role IS
    'Database role that logs in itself: an analyst, or query_sql for this principal.';
COMMENT ON COLUMN sightline.principal.all_collections IS
    'The principal sees every collection, also future ones; collection_binding is ignored.';

CREATE TABLE sightline.collection_binding (
    principal_id integer NOT NULL REFERENCES sightline.principal ON DELETE CASCADE,
    collection_id integer NOT NULL REFERENCES sightline.collection ON DELETE CASCADE,
    PRIMARY KEY (principal_id, collection_id)
);
CREATE INDEX collection_binding_collection_idx ON sightline.collection_binding (collection_id);
COMMENT ON TABLE sightline.collection_binding IS 'The collections that a principal may see.';

-- Dropped with their tables.
ALTER SEQUENCE sightline.source_number OWNED BY sightline.source.id;
ALTER SEQUENCE sightline.annotation_number OWNED BY sightline.annotation.id;
ALTER SEQUENCE sightline.retrieval_log_number OWNED BY sightline.retrieval_log.id;
ALTER SEQUENCE sightline.region_number OWNED BY sightline.region.id;
ALTER SEQUENCE sightline.passage_number OWNED BY sightline.passage.id;

-- No statistics of values that analysts can see: the planner estimates from those of all rows, and
-- its estimates would tell values and their frequency in rows of others. Ids keep theirs, because
-- nobody can guess the id of another, and so do columns that no view shows, such as the terms of
-- postings; the plans of searches need them.
DO $$
DECLARE
    content record;
BEGIN
    FOR content IN
        SELECT of_table, unnest(columns::text[]) AS name
        FROM (VALUES
            ('collection', '{name, settings, created_at}'),
            ('embedding_space', '{encoder, weights, preprocessing, dimension, level, created_at}'),
            ('source', '{content_key, name, location, kind, mime_type, byte_size, metadata, state,
                error_code, error, ingested_at}'),
            ('asset', '{kind, page, frame_seconds, location, sha256, width, height, captured_at,
                captured_local, caption, metadata, latitude, longitude, perceptual_hash,
                symmetric_hash, reading,
                detection_run, created_at}'),
            ('region', '{kind, ordinal, x0, y0, x1, y1, label, score}'),
            ('passage', '{kind, text, language, page, start_seconds, end_seconds, char_start,
                char_end, x0, y0, x1, y1, confidence, tokens, token_count}'),
            ('annotation', '{label, x0, y0, x1, y1, score, origin, model, author, note,
                created_at}'),
            ('retrieval_log', '{created_at, principal, tool, collection, query, arguments,
                timings_ms, total_ms, result_count, weak_count, results, request_id}'),
            ('cluster', '{k, number, asset_count, mean_distance, analyzed_at}'),
            ('cluster_member', '{embedding_space_id, k, number, distance}'),
            ('near_duplicate', '{distance}')
        ) AS t (of_table, columns)
    LOOP
        EXECUTE format('ALTER TABLE sightline.%I ALTER COLUMN %I SET STATISTICS 0',
            content.of_table, content.name);
    END LOOP;
END
$$;

---------------------------------------------------------------------------------------------------
-- Row-level security by collection; see docs/explanation/security.md
--
-- Three roles without login, created by ensure_roles() below:
--   sightline_analyst          analysts' roles are members; reads the schema analytics
--   sightline_analytics_owner  owns its views and functions, so that policies apply to them
--                              (policies apply neither to a superuser nor to the tables' owner)
--   sightline_principal        the server's role during a transaction for a bound principal
---------------------------------------------------------------------------------------------------

-- Null: not bound. 0: unknown principal. The variable sightline.principal counts only in the role
-- sightline_principal; everyone else is identified by the role that logged in.
CREATE FUNCTION sightline.current_principal_id() RETURNS integer
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN current_setting('role') = 'sightline_principal' THEN coalesce(
        (SELECT id FROM sightline.principal
         WHERE name = current_setting('sightline.principal', true)), 0)
    ELSE coalesce(
        (SELECT id FROM sightline.principal WHERE db_role = session_user),
        -- query_sql for a principal whose binding was removed
        CASE WHEN starts_with(session_user, 'sightline_query_') THEN 0 END)
    END
$$;

CREATE FUNCTION sightline.current_principal_name() RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT name FROM sightline.principal WHERE id = sightline.current_principal_id()
$$;

CREATE FUNCTION sightline.visible_collection_ids() RETURNS integer[]
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE WHEN (SELECT sightline.current_principal_id()) IS NULL
    THEN ARRAY(SELECT id FROM sightline.collection)
    ELSE ARRAY(SELECT collection_id FROM sightline.collection_binding
               WHERE principal_id = (SELECT sightline.current_principal_id())) END
$$;

-- Counts all collections with vectors in an embedding space, also those that the caller cannot see.
CREATE FUNCTION sightline.count_collections_of_space(space integer, of_level text) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT count(*) FROM (
        SELECT u.collection_id FROM sightline.collection_embedding_space AS u
        WHERE u.embedding_space_id = space AND u.level = of_level
        UNION
        SELECT k.collection_id FROM sightline.kept_embedding_space AS k
        WHERE k.embedding_space_id = space AND k.level = of_level
    ) AS users
$$;

REVOKE ALL ON FUNCTION
    sightline.current_principal_id, sightline.current_principal_name,
    sightline.visible_collection_ids, sightline.count_collections_of_space
FROM PUBLIC;

-- Each policy computes the visible collections once per query and then compares numbers.
ALTER TABLE sightline.collection ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_collection ON sightline.collection
    USING (id = ANY ((SELECT sightline.visible_collection_ids())::integer[]));

-- Partitions of embedding need it too: a policy of the parent applies only to queries on the parent.
CREATE FUNCTION sightline.enable_collection_policy(target regclass) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', target);
    EXECUTE format(
        'CREATE POLICY by_collection ON %s USING (
            collection_id = ANY ((SELECT sightline.visible_collection_ids())::integer[]))',
        target);
    IF to_regrole('sightline_analytics_owner') IS NOT NULL THEN
        EXECUTE format('GRANT SELECT ON %s TO sightline_analytics_owner', target);
    END IF;
    IF to_regrole('sightline_principal') IS NOT NULL THEN
        EXECUTE format('GRANT SELECT ON %s TO sightline_principal', target);
    END IF;
END
$$;
COMMENT ON FUNCTION sightline.enable_collection_policy IS
    'Restricts a table with a collection_id to the visible collections.';
REVOKE ALL ON FUNCTION sightline.enable_collection_policy FROM PUBLIC;

SELECT sightline.enable_collection_policy(target)
FROM unnest(ARRAY[
    'sightline.collection_embedding_space', 'sightline.kept_embedding_space',
    'sightline.encoder_reliability', 'sightline.source',
    'sightline.asset', 'sightline.picture_pair', 'sightline.passage', 'sightline.vocabulary',
    'sightline.embedding', 'sightline.cluster', 'sightline.cluster_member', 'sightline.compared_asset',
    'sightline.near_duplicate'
]::regclass[]) AS target;
CREATE POLICY by_other_asset ON sightline.picture_pair AS RESTRICTIVE
    USING (EXISTS (SELECT FROM sightline.asset AS a WHERE a.id = other_asset_id));
CREATE POLICY by_other_asset ON sightline.near_duplicate AS RESTRICTIVE
    USING (EXISTS (SELECT FROM sightline.asset AS a WHERE a.id = other_asset_id));

-- Rows without a collection_id are visible if their asset or passage is.
ALTER TABLE sightline.thumbnail ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_asset ON sightline.thumbnail
    USING (EXISTS (SELECT FROM sightline.asset AS a WHERE a.id = asset_id));
ALTER TABLE sightline.region ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_asset ON sightline.region
    USING (EXISTS (SELECT FROM sightline.asset AS a WHERE a.id = asset_id));
ALTER TABLE sightline.annotation ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_asset ON sightline.annotation
    USING (EXISTS (SELECT FROM sightline.asset AS a WHERE a.id = asset_id));
ALTER TABLE sightline.posting ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_passage ON sightline.posting
    USING (EXISTS (SELECT FROM sightline.passage AS p WHERE p.id = passage_id));

ALTER TABLE sightline.embedding_space ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_collection ON sightline.embedding_space USING (
    (SELECT sightline.current_principal_id()) IS NULL
    OR EXISTS (
        SELECT FROM sightline.collection_embedding_space AS u
        WHERE u.embedding_space_id = embedding_space.id)
    OR EXISTS (
        SELECT FROM sightline.kept_embedding_space AS k
        WHERE k.embedding_space_id = embedding_space.id)
);

-- A principal sees only its own searches; an analyst those of its collections, but not those of an
-- earlier collection of the same name.
ALTER TABLE sightline.retrieval_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY by_collection ON sightline.retrieval_log
    USING (
        (SELECT sightline.current_principal_id()) IS NULL
        OR principal = (SELECT sightline.current_principal_name())
        OR (
            (SELECT sightline.current_principal_name()) IS NULL
            AND collection = ANY (ARRAY(SELECT c.name FROM sightline.collection AS c))
            AND EXISTS (
                SELECT FROM sightline.collection AS c
                WHERE c.name = retrieval_log.collection
                AND c.created_at <= retrieval_log.created_at)
        )
    )
    WITH CHECK (principal = (SELECT sightline.current_principal_name()));

---------------------------------------------------------------------------------------------------
-- Schema analytics: views. Names and columns stay stable while the tables may change. Views and
-- functions read with the rights of their owner: readers need no rights on the tables. A column has
-- one name, type and meaning everywhere; docs/reference/analytics-schema.md has the rules.
---------------------------------------------------------------------------------------------------

COMMENT ON SCHEMA analytics IS 'Stable views and functions for analysts.';

CREATE VIEW analytics.collections AS
SELECT
    c.name AS collection, c.settings, picture.encoder, picture.id AS embedding_space_id,
    words.encoder AS text_encoder, words.id AS text_embedding_space_id,
    s.source_count, s.failed_count, a.asset_count, p.passage_count, s.byte_size,
    a.first_captured_at, a.last_captured_at, s.last_ingested_at, c.created_at
FROM sightline.collection AS c
LEFT JOIN sightline.collection_embedding_space AS u
    ON u.collection_id = c.id AND u.level = 'asset'
LEFT JOIN sightline.embedding_space AS picture ON picture.id = u.embedding_space_id
LEFT JOIN sightline.collection_embedding_space AS w
    ON w.collection_id = c.id AND w.level = 'passage'
LEFT JOIN sightline.embedding_space AS words ON words.id = w.embedding_space_id
CROSS JOIN LATERAL (
    SELECT count(*) AS source_count, count(*) FILTER (WHERE state = 'failed') AS failed_count,
        coalesce(sum(byte_size), 0)::bigint AS byte_size, max(ingested_at) AS last_ingested_at
    FROM sightline.source WHERE collection_id = c.id
) AS s
CROSS JOIN LATERAL (
    SELECT count(*) AS asset_count, min(captured_at) AS first_captured_at,
        max(captured_at) AS last_captured_at
    FROM sightline.asset WHERE collection_id = c.id
) AS a
CROSS JOIN LATERAL (
    SELECT count(*) AS passage_count FROM sightline.passage WHERE collection_id = c.id
) AS p;
COMMENT ON VIEW analytics.collections IS 'Collections with settings, encoders and counts.';
COMMENT ON COLUMN analytics.collections.encoder IS
    'Encoder of the assets, in the space embedding_space_id; null before the first vector.';
COMMENT ON COLUMN analytics.collections.text_encoder IS
    'Encoder of the passages, in the space text_embedding_space_id; null without one.';
COMMENT ON COLUMN analytics.collections.source_count IS 'All sources, with the failed ones.';
COMMENT ON COLUMN analytics.collections.byte_size IS 'Bytes of all ingested files.';

CREATE VIEW analytics.assets AS
SELECT
    a.id AS asset_id, c.name AS collection, a.source_id, s.name AS source,
    encode(a.sha256, 'hex') AS content_sha256,
    CASE WHEN starts_with(a.location, 'file:')
        AND (SELECT sightline.current_principal_name()) IS NULL
        THEN substr(a.location, 6) END AS path,
    a.kind, a.page,
    a.frame_seconds, a.width, a.height, a.captured_at, a.captured_local, a.caption, a.metadata,
    s.metadata AS source_metadata, a.latitude, a.longitude, a.perceptual_hash, a.reading,
    a.created_at
FROM sightline.asset AS a
JOIN sightline.source AS s ON s.id = a.source_id
JOIN sightline.collection AS c ON c.id = a.collection_id;
COMMENT ON VIEW analytics.assets IS
    'Viewable images: image files, document pages, video frames, waveforms of sounds.';
COMMENT ON COLUMN analytics.assets.asset_id IS 'Twelve characters, as in tool results.';
COMMENT ON COLUMN analytics.assets.source IS 'Name of the ingested file or URL.';
COMMENT ON COLUMN analytics.assets.content_sha256 IS 'SHA-256 of the image file, in hex.';
COMMENT ON COLUMN analytics.assets.path IS
    'Absolute path of the image file; null for pages and frames, for images from archives and '
    'uploads (kept in the data folder), and in query_sql for a bound principal.';
COMMENT ON COLUMN analytics.assets.kind IS 'image, page, frame or audio (its waveform).';
COMMENT ON COLUMN analytics.assets.page IS 'Page number from 1; pages only.';
COMMENT ON COLUMN analytics.assets.frame_seconds IS
    'Seconds from the start of the video; frames only.';
COMMENT ON COLUMN analytics.assets.width IS 'Pixels, upright.';
COMMENT ON COLUMN analytics.assets.height IS 'Pixels, upright.';
COMMENT ON COLUMN analytics.assets.captured_local IS
    'captured_at in local time at the place of capture, for time-of-day questions.';
COMMENT ON COLUMN analytics.assets.metadata IS
    'Metadata of the asset, such as metadata ->> ''product''.';
COMMENT ON COLUMN analytics.assets.source_metadata IS 'Metadata of the source.';
COMMENT ON COLUMN analytics.assets.latitude IS
    'Degrees, WGS 84: where it was taken; null if unknown.';
COMMENT ON COLUMN analytics.assets.perceptual_hash IS
    '64 bits. A small bit_count((a # b)::bit(64)) means that two images look alike.';
COMMENT ON COLUMN analytics.assets.reading IS
    'How the text was read: text layer, scan, garbled, hidden layer, figures, form, or unreadable.';

CREATE VIEW analytics.sources AS
SELECT
    s.id AS source_id, c.name AS collection, s.name AS source,
    encode(s.content_key, 'hex') AS content_sha256,
    CASE WHEN starts_with(s.location, 'file:')
        AND (SELECT sightline.current_principal_name()) IS NULL
        THEN substr(s.location, 6) END AS path,
    s.kind, s.mime_type, s.byte_size, s.metadata, s.state, s.error_code, s.error, s.ingested_at
FROM sightline.source AS s
JOIN sightline.collection AS c ON c.id = s.collection_id;
COMMENT ON VIEW analytics.sources IS 'Ingested files and URLs, and those that failed.';
COMMENT ON COLUMN analytics.sources.source IS 'Name as given to the ingest.';
COMMENT ON COLUMN analytics.sources.content_sha256 IS
    'SHA-256 of the file, in hex; of "path:" and its location if it could not be read.';
COMMENT ON COLUMN analytics.sources.path IS
    'Absolute path of the file; null as in assets.';
COMMENT ON COLUMN analytics.sources.kind IS 'image, pdf, document, video, audio, text or unknown.';
COMMENT ON COLUMN analytics.sources.state IS 'done or failed; error gives the reason.';

CREATE VIEW analytics.passages AS
SELECT
    p.id AS passage_id, c.name AS collection, p.source_id, s.name AS source, p.asset_id,
    p.region_id, p.kind, p.text, p.language, p.page, p.start_seconds, p.end_seconds, p.char_start,
    p.char_end, p.x0, p.y0, p.x1, p.y1, p.confidence, p.token_count::bigint AS token_count
FROM sightline.passage AS p
JOIN sightline.source AS s ON s.id = p.source_id
JOIN sightline.collection AS c ON c.id = p.collection_id;
COMMENT ON VIEW analytics.passages IS 'Text with its source and position.';
COMMENT ON COLUMN analytics.passages.kind IS
    'caption, chunk, row, page_text, ocr, subtitle, speech (transcribed), name (the file name), note '
    'or field (of a page), or metadata (keywords, people and places).';
COMMENT ON COLUMN analytics.passages.x0 IS
    'Box x0, y0, x1, y1: corners, normalized to 0..1 of the upright image, origin top left.';
COMMENT ON COLUMN analytics.passages.start_seconds IS
    'Start of a subtitle or of speech in the video or sound.';
COMMENT ON COLUMN analytics.passages.char_start IS 'First character of a chunk in the source text.';
COMMENT ON COLUMN analytics.passages.confidence IS 'Confidence of the OCR engine, 0 to 1.';

CREATE VIEW analytics.annotations AS
SELECT
    n.id AS annotation_id, n.asset_id, c.name AS collection, n.label, n.x0, n.y0, n.x1, n.y1,
    n.score, n.origin, n.model, n.author, n.note, n.created_at
FROM sightline.annotation AS n
JOIN sightline.asset AS a ON a.id = n.asset_id
JOIN sightline.collection AS c ON c.id = a.collection_id;
COMMENT ON VIEW analytics.annotations IS 'Labeled boxes, by people, models, detectors or from files.';
COMMENT ON COLUMN analytics.annotations.x0 IS
    'Box x0, y0, x1, y1: corners, normalized to 0..1 of the upright image, origin top left.';
COMMENT ON COLUMN analytics.annotations.origin IS
    'person, model, detector (at ingest), or file (metadata or annotation file); see model, author.';

CREATE VIEW analytics.detections AS
SELECT
    c.name AS collection, n.asset_id, n.label, n.model, count(*) AS object_count,
    max(n.score) AS best_score
FROM sightline.annotation AS n
JOIN sightline.asset AS a ON a.id = n.asset_id
JOIN sightline.collection AS c ON c.id = a.collection_id
WHERE n.origin = 'detector'
GROUP BY c.name, n.asset_id, n.label, n.model;
COMMENT ON VIEW analytics.detections IS
    'How many objects of the collection''s vocabulary the detector found on each asset.';
COMMENT ON COLUMN analytics.detections.label IS 'The phrase of the vocabulary, such as "van".';
COMMENT ON COLUMN analytics.detections.best_score IS 'Of the surest box, 0 to 1.';

CREATE VIEW analytics.regions AS
SELECT
    r.id AS region_id, r.asset_id, c.name AS collection, r.kind, r.ordinal, r.x0, r.y0, r.x1, r.y1,
    r.label, r.score
FROM sightline.region AS r
JOIN sightline.asset AS a ON a.id = r.asset_id
JOIN sightline.collection AS c ON c.id = a.collection_id;
COMMENT ON VIEW analytics.regions IS 'Parts of images: OCR lines, tiles and detections.';
COMMENT ON COLUMN analytics.regions.kind IS 'tile, ocr_line or detection.';
COMMENT ON COLUMN analytics.regions.x0 IS
    'Box x0, y0, x1, y1: corners, normalized to 0..1 of the upright image, origin top left.';
COMMENT ON COLUMN analytics.regions.label IS 'Text of the OCR line, or label of the detection.';

-- Postgres omits the joins of the kind from a query that does not read it.
CREATE VIEW analytics.embeddings AS
SELECT
    e.embedding_space_id, sp.level,
    CASE sp.level WHEN 'asset' THEN a.kind WHEN 'region' THEN r.kind ELSE p.kind END AS kind,
    c.name AS collection, e.asset_id, e.region_id, e.passage_id, sp.dimension, e.embedding
FROM sightline.embedding AS e
JOIN sightline.embedding_space AS sp ON sp.id = e.embedding_space_id
JOIN sightline.collection AS c ON c.id = e.collection_id
LEFT JOIN sightline.asset AS a ON a.id = e.asset_id
LEFT JOIN sightline.region AS r ON r.id = e.region_id
LEFT JOIN sightline.passage AS p ON p.id = e.passage_id;
COMMENT ON VIEW analytics.embeddings IS
    'Vectors of assets, regions and passages: select one level, or also one kind. Compare only '
    'vectors of one embedding_space_id, by cosine distance (<=>). This view reads all its rows: to '
    'find nearest neighbors use the functions nearest, knn and search, which use the vector index.';
COMMENT ON COLUMN analytics.embeddings.level IS
    'What the vector represents: asset, region or passage.';
COMMENT ON COLUMN analytics.embeddings.kind IS
    'Kind of that asset, region or passage, such as image, page, frame, tile or caption.';

CREATE VIEW analytics.embedding_spaces AS
SELECT
    sp.id AS embedding_space_id, sp.encoder, sp.weights, sp.preprocessing, sp.dimension, sp.level,
    sp.created_at,
    ARRAY(
        SELECT c.name FROM sightline.collection_embedding_space AS u
        JOIN sightline.collection AS c ON c.id = u.collection_id
        WHERE u.embedding_space_id = sp.id AND u.level = sp.level ORDER BY c.name
    ) AS collections,
    (SELECT count(*) FROM sightline.embedding AS e WHERE e.embedding_space_id = sp.id)
        AS vector_count
FROM sightline.embedding_space AS sp;
COMMENT ON VIEW analytics.embedding_spaces IS
    'Encoders and their levels. Vectors of different embedding spaces are not comparable.';
COMMENT ON COLUMN analytics.embedding_spaces.weights IS 'Fingerprint of the encoder''s weights.';
COMMENT ON COLUMN analytics.embedding_spaces.level IS 'asset, region or passage.';
COMMENT ON COLUMN analytics.embedding_spaces.vector_count IS 'Number of vectors, counted on read.';

CREATE VIEW analytics.searches AS
SELECT
    id AS search_id, created_at, principal, tool,
    string_to_array(collection, ', ') AS collections, query, arguments, timings_ms, total_ms,
    result_count::bigint AS result_count, weak_count::bigint AS weak_count, results, request_id
FROM sightline.retrieval_log;
COMMENT ON VIEW analytics.searches IS 'Searches with results and stage times.';
COMMENT ON COLUMN analytics.searches.principal IS 'Token name; null without authentication.';
COMMENT ON COLUMN analytics.searches.collections IS
    'The collections that the search named; null for all.';
COMMENT ON COLUMN analytics.searches.weak_count IS
    'Results that do not stand out from chance: if it equals result_count, probably nothing was '
    'found.';
COMMENT ON COLUMN analytics.searches.timings_ms IS 'Milliseconds by stage.';
COMMENT ON COLUMN analytics.searches.results IS
    'Ids with their scores, best first; weak ones are marked.';
COMMENT ON COLUMN analytics.searches.request_id IS
    'Id of the request, also in the log and the audit log.';

CREATE VIEW analytics.cluster_members AS
SELECT
    m.asset_id, c.name AS collection, m.embedding_space_id, m.k, m.number AS cluster,
    m.distance::double precision AS distance, g.analyzed_at
FROM sightline.cluster_member AS m
JOIN sightline.cluster AS g
    ON (g.collection_id, g.embedding_space_id, g.k, g.number)
        = (m.collection_id, m.embedding_space_id, m.k, m.number)
JOIN sightline.collection AS c ON c.id = m.collection_id;
COMMENT ON VIEW analytics.cluster_members IS
    'The cluster of each asset at the last `sightline analyze` (analyzed_at).';
COMMENT ON COLUMN analytics.cluster_members.k IS 'Number of clusters of the collection.';
COMMENT ON COLUMN analytics.cluster_members.distance IS 'Cosine distance from the centroid.';

---------------------------------------------------------------------------------------------------
-- Schema analytics: functions. Partition and dimension are literals in each statement: with bound
-- values Postgres would plan for all partitions and find no index.
---------------------------------------------------------------------------------------------------

-- Returns the requested embedding space, or the only one that collections use; an error lists the
-- valid ones. Those that no collection uses are candidates only if they are requested.
CREATE FUNCTION sightline.resolve_embedding_space(
    requested integer, required_level text, for_asset text DEFAULT NULL
)
RETURNS sightline.embedding_space
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
DECLARE
    candidates sightline.embedding_space[];
    available text;
BEGIN
    SELECT array_agg(s ORDER BY s.id) INTO candidates
    FROM sightline.embedding_space AS s
    WHERE (requested IS NULL OR s.id = requested)
        AND (required_level IS NULL OR s.level = required_level)
        AND (requested IS NOT NULL OR EXISTS (
            SELECT FROM sightline.collection_embedding_space AS u
            WHERE u.embedding_space_id = s.id AND u.level = s.level))
        AND (requested IS NOT NULL OR for_asset IS NULL OR s.id IN (
            SELECT u.embedding_space_id FROM sightline.collection_embedding_space AS u
            JOIN sightline.asset AS a ON a.collection_id = u.collection_id
            WHERE a.id = for_asset AND u.level = s.level));
    IF cardinality(candidates) = 1 THEN
        RETURN candidates[1];
    END IF;
    SELECT coalesce(
        string_agg(format('%s (%s of %s)', s.id, s.level, s.encoder), ', ' ORDER BY s.id),
        'none yet')
    INTO available FROM sightline.embedding_space AS s
    WHERE required_level IS NULL OR s.level = required_level;
    IF requested IS NOT NULL THEN
        RAISE EXCEPTION 'unknown embedding space %', requested USING
            ERRCODE = 'invalid_parameter_value', HINT = format('Available: %s.', available);
    ELSIF for_asset IS NOT NULL AND NOT EXISTS (SELECT FROM sightline.asset WHERE id = for_asset)
    THEN
        RAISE EXCEPTION 'unknown asset %', quote_literal(for_asset) USING
            ERRCODE = 'invalid_parameter_value', HINT = 'Take ids from the view assets.';
    END IF;
    RAISE EXCEPTION 'the argument embedding_space is required' USING
        ERRCODE = 'invalid_parameter_value', HINT = format('Available: %s.', available);
END
$$;
REVOKE ALL ON FUNCTION sightline.resolve_embedding_space FROM PUBLIC;

-- Filters of the tools, in SQL: storage/retrieval/filters has the language and its meaning. The text
-- of a condition consists of fixed expressions and quoted literals. Aliases: a asset, s source,
-- c collection, p passage.
CREATE FUNCTION sightline.filter_tables(of_level text) RETURNS text
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE of_level
        WHEN 'passage' THEN 'sightline.passage AS p
            LEFT JOIN sightline.asset AS a ON a.id = p.asset_id
            JOIN sightline.source AS s ON s.id = p.source_id
            JOIN sightline.collection AS c ON c.id = p.collection_id'
        ELSE 'sightline.asset AS a
            JOIN sightline.source AS s ON s.id = a.source_id
            JOIN sightline.collection AS c ON c.id = a.collection_id'
    END
$$;

CREATE FUNCTION sightline.nested_json(path text[], value jsonb) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE cardinality(path) WHEN 0 THEN value ELSE jsonb_build_object(
        path[1], sightline.nested_json(path[2:], value)) END
$$;

-- The condition of one key. The type of a value is that of the JSON; a number may be a text.
CREATE FUNCTION sightline.filter_comparison(
    key text, operator text, value jsonb, of_level text
) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    local_time CONSTANT text := 'coalesce(a.captured_local, a.captured_at AT TIME ZONE ''UTC'')';
    instant CONSTANT text := 'coalesce(a.captured_at, a.captured_local AT TIME ZONE ''UTC'')';
    document CONSTANT text :=
        CASE of_level WHEN 'passage' THEN 'coalesce(a.metadata, s.metadata)' ELSE 'a.metadata' END;
    signs CONSTANT jsonb := '{"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}';
    kind text := jsonb_typeof(value);
    texts text[];
    found record;
    name text;
    expression text;
    first timestamp;
    last timestamp;
    is_known boolean;
BEGIN
    IF operator NOT IN ('eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'any', 'nin', 'contains',
        'text_match', 'text_match_insensitive', 'is_empty')
    THEN
        RAISE EXCEPTION 'the operator % of % is not available in SQL',
            quote_literal(operator), quote_literal(key)
        USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Available: eq, ne, gt, gte, lt, lte, between, in, any, nin, contains, '
                'text_match, text_match_insensitive, is_empty; and, or, not.';
    ELSIF operator IN ('in', 'any', 'nin') THEN
        IF kind <> 'array' THEN
            RAISE EXCEPTION '% of % takes a list, not %', operator, quote_literal(key), value
            USING ERRCODE = 'invalid_parameter_value';
        END IF;
        SELECT format('(%s)', coalesce(string_agg(
            sightline.filter_comparison(key, 'eq', each, of_level), ' OR '), 'false'))
        INTO expression FROM jsonb_array_elements(value) AS each;
        RETURN CASE operator WHEN 'nin' THEN format('(%s IS NOT TRUE)', expression)
            ELSE expression END;
    ELSIF operator = 'ne' THEN
        RETURN format('(%s IS NOT TRUE)',
            sightline.filter_comparison(key, 'eq', value, of_level));
    ELSIF operator = 'is_empty' AND kind = 'boolean' THEN
        IF value = 'false' THEN
            RETURN format('(%s IS NOT TRUE)',
                sightline.filter_comparison(key, 'is_empty', 'true', of_level));
        END IF;
        kind := 'null';
    ELSIF operator = 'is_empty' OR (kind = 'null' AND operator <> 'eq')
        OR kind NOT IN ('null', 'string', 'number', 'boolean')
        OR (starts_with(operator, 'text_match') AND kind <> 'string')
        OR (kind = 'boolean' AND operator IN ('gt', 'gte', 'lt', 'lte'))
    THEN
        RAISE EXCEPTION '% of % does not take the value %', operator, quote_literal(key), value
        USING ERRCODE = 'invalid_parameter_value', HINT = CASE operator
            WHEN 'is_empty' THEN 'It takes true or false.'
            ELSE 'It takes a text or a number; "in" takes a list of them.' END;
    END IF;

    SELECT * INTO found FROM (VALUES
        ('asset', NULL, 'a.id', 'text'),
        ('collection', NULL, 'c.name', 'text'),
        ('source', NULL, 's.name', 'text'),
        ('file_name', NULL, 'regexp_replace(s.name, ''^.*[/\\]'', '''')', 'text'),
        ('mime_type', NULL, 's.mime_type', 'text'),
        ('kind', 'asset', 'a.kind', 'text'),
        ('kind', 'passage', 'p.kind', 'text'),
        ('asset_kind', 'passage', 'a.kind', 'text'),
        ('page', 'asset', 'a.page', 'number'),
        ('page', 'passage', 'coalesce(p.page, a.page)', 'number'),
        ('seconds', 'asset', 'a.frame_seconds', 'number'),
        ('seconds', 'passage', 'coalesce(p.start_seconds, a.frame_seconds)', 'number'),
        ('width', NULL, 'a.width', 'number'),
        ('height', NULL, 'a.height', 'number'),
        ('caption', NULL, 'a.caption', 'text'),
        ('text', 'passage', 'p.text', 'text'),
        ('language', 'passage', 'p.language', 'text'),
        ('confidence', 'passage', 'p.confidence', 'number'),
        ('captured_at', NULL, instant, 'moment'),
        ('captured_at.month', NULL, format('to_char(%s, ''YYYY-MM'')', local_time), 'text'),
        ('captured_at.year', NULL, format('extract(year FROM %s)', local_time), 'number')
    ) AS shown (key, level, expression, type)
    WHERE shown.key = filter_comparison.key AND coalesce(shown.level, of_level) = of_level;

    IF found.type = 'moment' AND kind <> 'null' THEN
        IF value #>> '{}' !~ '^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$'
            OR operator NOT IN ('eq', 'gt', 'gte', 'lt', 'lte')
        THEN
            RAISE EXCEPTION '% of % does not take the value %',
                operator, quote_literal(key), value
            USING ERRCODE = 'invalid_parameter_value',
                HINT = 'Compare it with a date or time such as "2024-05-01" or "2024-05-01T17:00".';
        END IF;
        -- A day, a minute or a second is the range from first to last.
        name := value #>> '{}';
        IF name ~ '[T ].*(Z|[+-]\d\d:?\d\d)$' THEN
            first := name::timestamptz AT TIME ZONE 'UTC';
            expression := format('(%s AT TIME ZONE ''UTC'')', instant);
        ELSE
            first := name::timestamp;
            expression := local_time;
        END IF;
        last := first + CASE
            WHEN name !~ '[T ]' THEN interval '1 day'
            WHEN name ~ '[T ]\d\d:\d\d(Z|[+-]\d\d:?\d\d)?$' THEN interval '1 minute'
            ELSE interval '1 second' END;
        RETURN CASE operator
            WHEN 'eq' THEN format('(%1$s >= %2$L AND %1$s < %3$L)', expression, first, last)
            WHEN 'gt' THEN format('(%s >= %L)', expression, last)
            WHEN 'gte' THEN format('(%s >= %L)', expression, first)
            WHEN 'lt' THEN format('(%s < %L)', expression, first)
            ELSE format('(%s < %L)', expression, last)
        END;
    ELSIF found.expression IS NOT NULL THEN
        IF kind = 'null' THEN
            RETURN format(CASE found.type WHEN 'text' THEN '(coalesce(%s, '''') = '''')'
                ELSE '(%s IS NULL)' END, found.expression);
        ELSIF operator IN ('contains', 'text_match', 'text_match_insensitive')
            AND found.type = 'text' AND kind = 'string'
        THEN
            RETURN format(CASE operator
                WHEN 'text_match_insensitive' THEN '(strpos(lower(%s), lower(%L)) > 0)'
                ELSE '(strpos(%s, %L) > 0)' END, found.expression, value #>> '{}');
        ELSIF signs ? operator AND (CASE found.type WHEN 'text' THEN kind = 'string'
            ELSE value #>> '{}' ~ '^[+-]?\d{1,15}(\.\d{1,15})?$' AND kind <> 'boolean' END)
        THEN
            RETURN format(CASE
                WHEN found.type = 'number' THEN '(%s %s %L::float8)'
                WHEN operator = 'eq' THEN '(%s %s %L)'
                ELSE '((%s) COLLATE "C" %s %L)' END,
                found.expression, signs ->> operator, value #>> '{}');
        END IF;
        RAISE EXCEPTION '% is a %: % does not take the value %',
            quote_literal(key), found.type, operator, value
        USING ERRCODE = 'invalid_parameter_value';
    END IF;

    -- A key of the metadata, or with dots a nested one.
    name := regexp_replace(key, '^metadata\.', '');
    SELECT CASE WHEN strpos(name, '.') = 0 THEN ARRAY[name] ELSE string_to_array(name, '.') END
    INTO texts;
    EXECUTE format('SELECT EXISTS (SELECT FROM sightline.asset WHERE metadata ? %1$L)
        OR EXISTS (SELECT FROM sightline.source WHERE metadata ? %1$L)', name) INTO is_known;
    IF is_known THEN
        texts := ARRAY[name];
    ELSE
        EXECUTE format('SELECT EXISTS (SELECT FROM sightline.asset WHERE metadata #> %1$L IS NOT NULL)
            OR EXISTS (SELECT FROM sightline.source WHERE metadata #> %1$L IS NOT NULL)', texts)
        INTO is_known;
    END IF;
    IF NOT is_known THEN
        RAISE EXCEPTION 'the filter key % is not available in SQL', quote_literal(key)
        USING ERRCODE = 'invalid_parameter_value', HINT = format(
            'Available: %s, and keys of the metadata. For other conditions, join the view.',
            'asset, collection, source, file_name, mime_type, kind, page, seconds, width, height, '
            'caption, captured_at, captured_at.month, captured_at.year'
            || CASE of_level WHEN 'passage' THEN ', asset_kind, text, language, confidence'
                ELSE '' END);
    END IF;
    expression := format('(%s #> %L)', document, texts);
    IF kind = 'null' THEN
        RETURN format('(coalesce(%s, ''null'') IN (''null'', ''""'', ''[]'', ''{}''))', expression);
    ELSIF operator IN ('gt', 'gte', 'lt', 'lte') THEN
        RETURN CASE kind
            WHEN 'string' THEN format(
                '(jsonb_typeof(%1$s) = ''string'' AND (%1$s #>> ''{}'') COLLATE "C" %2$s %3$L)',
                expression, signs ->> operator, value #>> '{}')
            ELSE format('(jsonb_typeof(%1$s) = ''number'' AND %1$s %2$s %3$L::jsonb)',
                expression, signs ->> operator, value) END;
    ELSIF starts_with(operator, 'text_match') THEN
        RETURN format(CASE operator
            WHEN 'text_match_insensitive' THEN '(strpos(lower(%s #>> ''{}''), lower(%L)) > 0)'
            ELSE '(strpos(%s #>> ''{}'', %L) > 0)' END, expression, value #>> '{}');
    ELSIF operator = 'contains' THEN
        RETURN format('(%1$s @> jsonb_build_array(%2$L::jsonb)%3$s)', expression, value,
            CASE kind WHEN 'string' THEN format(' OR (jsonb_typeof(%1$s) = ''string'' AND
                strpos(%1$s #>> ''{}'', %2$L) > 0)', expression, value #>> '{}') ELSE '' END);
    END IF;
    -- A value, or a list that contains it; @> of the document uses its index.
    RETURN format('(%1$s @> %2$L::jsonb OR %1$s @> %3$L::jsonb)', document,
        sightline.nested_json(texts, value),
        sightline.nested_json(texts, jsonb_build_array(value)));
END
$$;

CREATE FUNCTION sightline.filter_condition(filters jsonb, of_level text, depth integer DEFAULT 1)
RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    entry record;
    part record;
    parts text[] := '{}';
    combine text;
BEGIN
    IF jsonb_typeof(filters) <> 'object' OR filters = '{}' AND depth > 1 THEN
        RAISE EXCEPTION 'a filter is an object such as {"key": "value"}, not %', filters
        USING ERRCODE = 'invalid_parameter_value';
    ELSIF depth > 8 THEN
        RAISE EXCEPTION 'filters nest at most 8 deep' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR entry IN SELECT key, value FROM jsonb_each(filters) LOOP
        combine := regexp_replace(entry.key, '^\$', '');
        IF combine = 'not' THEN
            parts := parts || format('(%s IS NOT TRUE)',
                sightline.filter_condition(entry.value, of_level, depth + 1));
        ELSIF combine IN ('and', 'or') THEN
            IF jsonb_typeof(entry.value) <> 'array' OR entry.value = '[]' THEN
                RAISE EXCEPTION '% takes a list of filters such as [{"key": "value"}], not %',
                    combine, entry.value USING ERRCODE = 'invalid_parameter_value';
            END IF;
            parts := parts || (
                SELECT format('(%s)', string_agg(
                    sightline.filter_condition(each, of_level, depth + 1),
                    format(' %s ', upper(combine))))
                FROM jsonb_array_elements(entry.value) AS each);
        ELSIF jsonb_typeof(entry.value) = 'object' THEN
            IF entry.value = '{}' THEN
                RAISE EXCEPTION 'the filter of % has no operator', quote_literal(entry.key)
                USING ERRCODE = 'invalid_parameter_value';
            END IF;
            FOR part IN
                SELECT regexp_replace(key, '^\$', '') AS operator, value
                FROM jsonb_each(entry.value)
            LOOP
                IF part.operator = 'between' THEN
                    IF jsonb_typeof(part.value) <> 'array' OR jsonb_array_length(part.value) <> 2 THEN
                        RAISE EXCEPTION 'between of % takes two values such as [1, 5], not %',
                            quote_literal(entry.key), part.value
                        USING ERRCODE = 'invalid_parameter_value';
                    END IF;
                    parts := parts
                        || sightline.filter_comparison(
                            entry.key, 'gte', part.value -> 0, of_level)
                        || sightline.filter_comparison(
                            entry.key, 'lte', part.value -> 1, of_level);
                ELSE
                    parts := parts || sightline.filter_comparison(
                        entry.key, part.operator, part.value, of_level);
                END IF;
            END LOOP;
        ELSE
            parts := parts || sightline.filter_comparison(
                entry.key, CASE jsonb_typeof(entry.value) WHEN 'array' THEN 'in' ELSE 'eq' END,
                entry.value, of_level);
        END IF;
    END LOOP;
    RETURN CASE WHEN parts = '{}' THEN 'true'
        ELSE format('(%s)', array_to_string(parts, ' AND ')) END;
END
$$;

-- enable_sort is off because with thousands of collections the planner would prefer a full sort to
-- the vector index. The index would scan too many rows for a condition that few of them meet: then
-- all matching rows are compared.
CREATE FUNCTION analytics.search(
    query_vector halfvec, k integer DEFAULT 10, embedding_space integer DEFAULT NULL,
    collection_name text DEFAULT NULL, filters jsonb DEFAULT NULL
)
RETURNS TABLE (
    asset_id text, region_id bigint, passage_id bigint, collection text, distance double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path FROM CURRENT
SET hnsw.ef_search = 200 SET hnsw.iterative_scan = relaxed_order SET enable_sort = off AS $$
DECLARE
    max_compared CONSTANT integer := 20000;
    space sightline.embedding_space := sightline.resolve_embedding_space(
        embedding_space, CASE WHEN embedding_space IS NULL THEN 'asset' END);
    entity text := CASE space.level WHEN 'passage' THEN 'passage' ELSE 'asset' END;
    condition text := sightline.filter_condition(coalesce(filters, '{}'), entity)
        || CASE WHEN collection_name IS NULL THEN ''
            ELSE format(' AND c.name = %L', collection_name) END;
    matching bigint;
BEGIN
    IF vector_dims(query_vector) <> space.dimension THEN
        RAISE EXCEPTION 'the vector has % dimensions, embedding space % has %',
            vector_dims(query_vector), space.id, space.dimension
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF condition <> 'true' THEN
        EXECUTE format('SELECT count(*) FROM (SELECT FROM %s WHERE %s LIMIT %s) AS m',
            sightline.filter_tables(entity), condition, max_compared + 1) INTO matching;
    END IF;
    RETURN QUERY EXECUTE format(
        CASE WHEN matching <= max_compared THEN $q$
        WITH matching AS MATERIALIZED (SELECT %6$s.id FROM %4$s WHERE %5$s)
        SELECT e.asset_id, e.region_id, e.passage_id, c.name, e.embedding::halfvec(%1$s) <=> $1
        FROM matching
        JOIN sightline.%2$I AS e ON e.%3$I = matching.id
        JOIN sightline.collection AS c ON c.id = e.collection_id
        ORDER BY (e.embedding::halfvec(%1$s) <=> $1) + 0, e.asset_id, e.region_id, e.passage_id
        LIMIT $2
        $q$ ELSE $q$
        SELECT n.asset_id, n.region_id, n.passage_id, c.name, n.distance
        FROM (
            SELECT e.asset_id, e.region_id, e.passage_id, e.collection_id,
                e.embedding::halfvec(%1$s) <=> $1 AS distance
            FROM sightline.%2$I AS e
            WHERE %7$s
            ORDER BY e.embedding::halfvec(%1$s) <=> $1
            LIMIT $2
        ) AS n
        JOIN sightline.collection AS c ON c.id = n.collection_id
        ORDER BY n.distance, n.asset_id, n.region_id, n.passage_id
        $q$ END,
        space.dimension, 'embedding_' || space.id, entity || '_id',
        sightline.filter_tables(entity), condition, left(entity, 1),
        CASE WHEN matching IS NULL THEN 'true' ELSE format(
            'EXISTS (SELECT FROM %s WHERE %s.id = e.%I AND %s)',
            sightline.filter_tables(entity), left(entity, 1), entity || '_id', condition) END
    ) USING query_vector, k;
END
$$;
COMMENT ON FUNCTION analytics.search IS
    'The k vectors of an embedding space nearest to a vector, by cosine distance, through the '
    'index. Default embedding space: that of whole assets. filters are those of the tools, such as '
    '{"product": "Garlic", "captured_at": {"gte": "2026-01-01"}}. The literal of a vector for words: '
    'sightline embed.';

-- BM25 with the constants of the tool search_text (k1 0.9, b 0.4), over the visible passages. The
-- terms of a word are the word itself, its term in the vocabularies, and its English stem; Chinese
-- text is pairs of characters.
CREATE FUNCTION analytics.search_text(
    query text, k integer DEFAULT 10, filters jsonb DEFAULT NULL, collection_name text DEFAULT NULL
)
RETURNS TABLE (
    passage_id bigint, asset_id text, collection text, source_id bigint, source text, kind text,
    page integer, text text, score real
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path FROM CURRENT AS $$
DECLARE
    condition text := sightline.filter_condition(coalesce(filters, '{}'), 'passage')
        || CASE WHEN collection_name IS NULL THEN ''
            ELSE format(' AND c.name = %L', collection_name) END;
BEGIN
    IF query !~ '[[:alnum:]]' THEN
        RAISE EXCEPTION 'the query % has no word to search for', quote_literal(left(query, 100))
        USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN QUERY EXECUTE format($q$
        WITH word AS (
            SELECT DISTINCT part[1] AS word
            FROM regexp_matches(
                lower(normalize(left($1, 2000), NFKC)),
                '(?:(?![\u3400-\u4dbf\u4e00-\u9fff])[[:alnum:]])+', 'g'
            ) AS part
            UNION
            SELECT substr(part[1], start, least(2, length(part[1])))
            FROM regexp_matches(normalize(left($1, 2000), NFKC), '[\u3400-\u4dbf\u4e00-\u9fff]+', 'g')
                AS part
            CROSS JOIN LATERAL generate_series(1, greatest(1, length(part[1]) - 1)) AS start
        ), requested AS MATERIALIZED (
            SELECT w.word, w.word COLLATE "C" AS term FROM word AS w
            UNION
            SELECT w.word, v.term FROM word AS w
            JOIN sightline.vocabulary AS v ON v.word = w.word COLLATE "C"
            UNION
            SELECT w.word, s.stem COLLATE "C" FROM word AS w
            CROSS JOIN LATERAL unnest(ts_lexize('english_stem', w.word)) AS s (stem)
            WHERE w.word ~ '^[a-z]+$'
        ), posted AS MATERIALIZED (
            SELECT o.passage_id, requested.word, max(o.frequency) AS frequency
            FROM requested
            JOIN sightline.posting AS o ON o.term = requested.term
            GROUP BY o.passage_id, requested.word
        ), corpus AS (
            SELECT count(*)::float8 AS passages, avg(token_count)::float8 AS mean_length
            FROM sightline.passage
        ), weighted AS (
            SELECT word, ln(1 + (corpus.passages - count(*) + 0.5) / (count(*) + 0.5)) AS idf
            FROM posted CROSS JOIN corpus GROUP BY word, corpus.passages
        ), scored AS MATERIALIZED (
            SELECT p.id, sum(weighted.idf * posted.frequency * 1.9 / (posted.frequency
                + 0.9 * (0.6 + 0.4 * p.token_count / greatest(corpus.mean_length, 1)))) AS score
            FROM posted
            JOIN weighted ON weighted.word = posted.word
            JOIN sightline.passage AS p ON p.id = posted.passage_id
            CROSS JOIN corpus
            GROUP BY p.id
        )
        SELECT p.id, p.asset_id, c.name, p.source_id, s.name, p.kind, p.page, p.text,
            scored.score::real
        FROM scored JOIN (%s) ON p.id = scored.id
        WHERE %s
        ORDER BY scored.score DESC, p.id
        LIMIT $2
        $q$, sightline.filter_tables('passage'), condition) USING query, k;
END
$$;
COMMENT ON FUNCTION analytics.search_text IS
    'The k passages that match the words of a query best, by BM25; filters as those of the tool. '
    'Words and stems only: the tool search_text also corrects spelling, prefers phrases, reads dates '
    'and compares meanings.';

CREATE FUNCTION analytics.nearest(
    asset text, k integer DEFAULT 10, embedding_space integer DEFAULT NULL
)
RETURNS TABLE (asset_id text, collection text, distance double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path FROM CURRENT
SET hnsw.ef_search = 200 SET hnsw.iterative_scan = relaxed_order SET enable_sort = off AS $$
DECLARE
    space sightline.embedding_space :=
        sightline.resolve_embedding_space(embedding_space, 'asset', asset);
    own halfvec;
BEGIN
    EXECUTE format('SELECT e.embedding FROM sightline.%I AS e WHERE e.asset_id = $1',
        'embedding_' || space.id) INTO own USING asset;
    IF own IS NULL THEN
        RAISE EXCEPTION 'asset % has no vector in embedding space %', quote_literal(asset), space.id
            USING ERRCODE = 'invalid_parameter_value',
            HINT = 'Take ids from the view embeddings; coverage() counts missing vectors.';
    END IF;
    RETURN QUERY EXECUTE format($q$
        SELECT n.asset_id, c.name, n.distance
        FROM (
            SELECT e.asset_id, e.collection_id, e.embedding::halfvec(%1$s) <=> $1 AS distance
            FROM sightline.%2$I AS e
            WHERE e.asset_id <> $3
            ORDER BY e.embedding::halfvec(%1$s) <=> $1
            LIMIT $2
        ) AS n
        JOIN sightline.collection AS c ON c.id = n.collection_id
        ORDER BY n.distance, n.asset_id
        $q$, space.dimension, 'embedding_' || space.id) USING own, k, asset;
END
$$;
COMMENT ON FUNCTION analytics.nearest IS
    'The k other assets most similar to an asset, by cosine distance, through the index; from all '
    'collections of the embedding space.';

CREATE FUNCTION analytics.knn(
    asset_ids text[] DEFAULT NULL, k integer DEFAULT 10, embedding_space integer DEFAULT NULL,
    collection_name text DEFAULT NULL
)
RETURNS TABLE (
    asset_id text, collection text, rank bigint, other_asset_id text, other_collection text,
    distance double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1000 SET search_path FROM CURRENT
SET hnsw.ef_search = 200 SET hnsw.iterative_scan = relaxed_order SET enable_sort = off AS $$
DECLARE
    space sightline.embedding_space;
    unknown text;
BEGIN
    IF num_nonnulls(asset_ids, collection_name) <> 1 THEN
        RAISE EXCEPTION 'knn takes either asset_ids or collection_name' USING
            ERRCODE = 'invalid_parameter_value',
            HINT = 'For example: knn(ARRAY[''id'', ...], 10), or knn(collection_name => ''album'').';
    END IF;
    SELECT string_agg(quote_literal(id), ', ') INTO unknown FROM (
        SELECT given.id FROM unnest(asset_ids) AS given (id)
        WHERE NOT EXISTS (SELECT FROM sightline.asset AS a WHERE a.id = given.id) LIMIT 3
    ) AS missing;
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'unknown assets: %', unknown USING
            ERRCODE = 'invalid_parameter_value', HINT = 'Take ids from the view assets.';
    END IF;
    space := sightline.resolve_embedding_space(embedding_space, 'asset', coalesce(asset_ids[1], (
        SELECT a.id FROM sightline.asset AS a
        JOIN sightline.collection AS c ON c.id = a.collection_id
        WHERE c.name = collection_name LIMIT 1)));
    RETURN QUERY EXECUTE format($q$
        SELECT e.asset_id, c.name,
            row_number() OVER (PARTITION BY e.asset_id ORDER BY n.distance, n.asset_id),
            n.asset_id, other.name, n.distance
        FROM (
            SELECT v.asset_id, v.collection_id, v.embedding::halfvec(%1$s) AS vector
            FROM sightline.%2$I AS v
            WHERE v.asset_id = ANY ($1) OR v.collection_id = (
                SELECT id FROM sightline.collection WHERE name = $3)
        ) AS e
        CROSS JOIN LATERAL (
            SELECT o.asset_id, o.collection_id, o.embedding::halfvec(%1$s) <=> e.vector AS distance
            FROM sightline.%2$I AS o
            WHERE o.asset_id <> e.asset_id
            ORDER BY o.embedding::halfvec(%1$s) <=> e.vector
            LIMIT $2
        ) AS n
        JOIN sightline.collection AS c ON c.id = e.collection_id
        JOIN sightline.collection AS other ON other.id = n.collection_id
        ORDER BY 1, 3
        $q$, space.dimension, 'embedding_' || space.id) USING asset_ids, k, collection_name;
END
$$;
COMMENT ON FUNCTION analytics.knn IS
    'The k nearest other assets of each of many assets, or of each asset of a collection, through '
    'the index, up to one millisecond each; from all collections of the embedding space. An asset '
    'without a vector has no rows.';

-- Bits in which two perceptual hashes differ, in the orientation in which they differ least. Mirror
-- images invert the signs of odd rows or columns; a transposed picture has transposed bits (Warren,
-- Hacker's Delight, 7-3). As `orientations` of storage/picture_hashes/.
CREATE FUNCTION sightline.hash_distance(one bigint, other bigint) RETURNS integer
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
    SELECT min(bit_count((one # turned.hash # mask)::bit(64)))::integer
    FROM (
        SELECT y # z # (z << 28) AS hash
        FROM (SELECT other AS whole) AS given
        CROSS JOIN LATERAL (SELECT (whole # (whole >> 7)) & x'00AA00AA00AA00AA'::bigint AS t) AS a
        CROSS JOIN LATERAL (SELECT whole # t # (t << 7) AS x) AS b
        CROSS JOIN LATERAL (SELECT (x # (x >> 14)) & x'0000CCCC0000CCCC'::bigint AS u) AS c
        CROSS JOIN LATERAL (SELECT x # u # (u << 14) AS y) AS d
        CROSS JOIN LATERAL (SELECT (y # (y >> 28)) & x'00000000F0F0F0F0'::bigint AS z) AS e
        UNION ALL
        SELECT other
    ) AS turned
    CROSS JOIN unnest(ARRAY[
        0, x'5555555555555555'::bigint, x'00FF00FF00FF00FF'::bigint, x'55AA55AA55AA55AA'::bigint
    ]) AS mask
$$;

-- Whether the texts on two pictures are the same; null if both have little, or if one was not read.
-- Words with three digits or more must agree as well: they tell one receipt of a shop from the
-- next. Of 40 receipts, they agree to at most 54% between two, and to at least 71% between two scans
-- of one.
CREATE FUNCTION sightline.same_text(one text, other text) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH word AS MATERIALIZED (
        SELECT p.asset_id, w.word
        FROM sightline.passage AS p
        CROSS JOIN LATERAL unnest(tsvector_to_array(p.tokens)) AS w (word)
        WHERE p.asset_id IN (one, other) AND p.kind IN ('ocr', 'page_text')
        GROUP BY 1, 2
    ), counted AS (
        SELECT
            count(*) FILTER (WHERE asset_id = one) AS of_one,
            count(*) FILTER (WHERE asset_id = other) AS of_other
        FROM word
    ), compared AS (
        SELECT
            sum(assets) AS words, 2 * count(*) FILTER (WHERE assets = 2) AS same_words,
            sum(assets) FILTER (WHERE is_number) AS numbers,
            2 * count(*) FILTER (WHERE assets = 2 AND is_number) AS same_numbers
        FROM (
            SELECT count(*) AS assets, word ~ '[0-9].*[0-9].*[0-9]' AS is_number
            FROM word GROUP BY word
        ) AS shared
    )
    SELECT CASE
        WHEN greatest(of_one, of_other) < 12 THEN NULL
        WHEN least(of_one, of_other) = 0 THEN (
            SELECT CASE WHEN s.ocr_engine IS NOT NULL THEN false END
            FROM sightline.asset AS a JOIN sightline.source AS s ON s.id = a.source_id
            WHERE a.id = CASE WHEN of_one = 0 THEN one ELSE other END
        )
        WHEN numbers >= 10 THEN same_words >= 0.65 * words AND same_numbers >= 0.65 * numbers
        ELSE same_words >= 0.8 * words
    END
    FROM counted, compared
$$;

-- Reads the result of `sightline analyze` and searches only newer assets, and crowded ones for a
-- caller that sees several but not all collections. Its small ef_search finds about 97% of the near
-- pairs.
CREATE FUNCTION analytics.duplicates(
    max_distance double precision DEFAULT 0.05, embedding_space integer DEFAULT NULL,
    collection_name text DEFAULT NULL, max_neighbors integer DEFAULT 10
)
RETURNS TABLE (
    asset_id text, collection text, other_asset_id text, other_collection text,
    distance double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path FROM CURRENT
SET hnsw.ef_search = 40 SET hnsw.iterative_scan = relaxed_order SET enable_sort = off AS $$
DECLARE
    space sightline.embedding_space := sightline.resolve_embedding_space(embedding_space, 'asset');
    use_analysis boolean := max_distance <= 0.2 AND max_neighbors <= 10
        AND EXISTS (
            SELECT FROM sightline.compared_asset AS c WHERE c.embedding_space_id = space.id);
    -- The analysis knows pairs in all collections and in one. For some of them, nearer assets that
    -- the caller must not see would hide its own.
    sees_some boolean := sightline.current_principal_id() IS NOT NULL
        AND cardinality(sightline.visible_collection_ids()) > 1;
BEGIN
    RETURN QUERY EXECUTE format($q$
        WITH neighbor AS MATERIALIZED (
            SELECT asset_id, other_asset_id, distance
            FROM sightline.near_duplicate
            WHERE $4 AND embedding_space_id = %3$s AND distance <= $1
            UNION ALL
            SELECT e.asset_id, n.asset_id, n.distance
            FROM (
                SELECT asset_id, embedding::halfvec(%1$s) AS vector
                FROM sightline.%2$I AS v
                WHERE ($4 OR $3 IS NULL
                    OR collection_id = (SELECT id FROM sightline.collection WHERE name = $3))
                AND NOT EXISTS (
                    SELECT FROM sightline.compared_asset AS c
                    WHERE $4 AND c.embedding_space_id = %3$s AND c.asset_id = v.asset_id
                        AND NOT ($5 AND c.crowded))
            ) AS e
            CROSS JOIN LATERAL (
                SELECT o.asset_id, o.embedding::halfvec(%1$s) <=> e.vector AS distance
                FROM sightline.%2$I AS o
                WHERE o.asset_id <> e.asset_id
                ORDER BY o.embedding::halfvec(%1$s) <=> e.vector
                LIMIT $2
            ) AS n
            WHERE n.distance <= $1
        ), pair AS MATERIALIZED (
            SELECT
                least(asset_id, other_asset_id) AS one, greatest(asset_id, other_asset_id) AS two,
                min(distance) AS distance
            FROM neighbor GROUP BY 1, 2
        )
        SELECT pair.one, c1.name, pair.two, c2.name, pair.distance
        FROM pair
        JOIN sightline.asset AS a1 ON a1.id = pair.one
        JOIN sightline.collection AS c1 ON c1.id = a1.collection_id
        JOIN sightline.asset AS a2 ON a2.id = pair.two
        JOIN sightline.collection AS c2 ON c2.id = a2.collection_id
        WHERE ($3 IS NULL OR $3 IN (c1.name, c2.name))
        AND CASE WHEN sightline.hash_distance(a1.perceptual_hash, a2.perceptual_hash) > 12
            THEN false ELSE sightline.same_text(pair.one, pair.two) IS NOT FALSE END
        ORDER BY pair.distance, pair.one, pair.two
        $q$, space.dimension, 'embedding_' || space.id, space.id)
        USING max_distance, max_neighbors, collection_name, use_analysis, sees_some;
END
$$;
COMMENT ON FUNCTION analytics.duplicates IS
    'Pairs of assets within a cosine distance whose pictures and texts do not differ, each pair '
    'once, across collections; at most '
    'max_neighbors per asset. Uses the last `sightline analyze`; newer assets, and assets with '
    'many neighbors if you see only some collections, take up to one millisecond each.';

CREATE FUNCTION analytics.clusters(
    k integer DEFAULT NULL, embedding_space integer DEFAULT NULL, collection_name text DEFAULT NULL
)
RETURNS TABLE (
    collection text, cluster integer, asset_count bigint, representative_asset_id text,
    mean_distance double precision, analyzed_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path FROM CURRENT AS $$
#variable_conflict use_column
DECLARE
    space sightline.embedding_space := sightline.resolve_embedding_space(embedding_space, 'asset');
BEGIN
    RETURN QUERY
    SELECT c.name, g.number, g.asset_count::bigint, g.representative_asset_id, g.mean_distance,
        g.analyzed_at
    FROM sightline.collection AS c
    JOIN sightline.cluster AS g ON g.collection_id = c.id AND g.embedding_space_id = space.id
    WHERE (collection_name IS NULL OR c.name = collection_name)
        AND g.k = coalesce(clusters.k, (
            SELECT latest.k FROM sightline.cluster AS latest
            WHERE latest.collection_id = c.id AND latest.embedding_space_id = space.id
            ORDER BY latest.analyzed_at DESC, latest.k LIMIT 1))
    ORDER BY c.name, g.number;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no such clusters' USING
            ERRCODE = 'no_data_found',
            HINT = format('Available: %s. To create others run: sightline analyze --clusters K.',
                coalesce((
                    SELECT string_agg(DISTINCT format('k=%s of %s', g.k, c.name), ', ')
                    FROM sightline.cluster AS g
                    JOIN sightline.collection AS c ON c.id = g.collection_id
                    WHERE g.embedding_space_id = space.id
                ), 'none yet'));
    END IF;
END
$$;
COMMENT ON FUNCTION analytics.clusters IS
    'Clusters of similar assets by collection (k-means, cosine), with the asset nearest to the '
    'centroid. Default k: that of the last `sightline analyze`. Members: view cluster_members.';

CREATE FUNCTION analytics.coverage(embedding_space integer DEFAULT NULL)
RETURNS TABLE (
    collection text, asset_count bigint, with_vector_count bigint, without_vector_count bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path FROM CURRENT AS $$
DECLARE
    space sightline.embedding_space := sightline.resolve_embedding_space(
        embedding_space,
        CASE WHEN EXISTS (
            SELECT FROM sightline.embedding_space AS s
            WHERE s.id = coverage.embedding_space AND s.level = 'region'
        ) THEN 'region' ELSE 'asset' END);
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT name, count(id), count(id) FILTER (WHERE has_vector),
            count(id) FILTER (WHERE NOT has_vector)
        FROM (
            SELECT c.name, a.id,
                EXISTS (SELECT FROM sightline.%I AS e WHERE e.asset_id = a.id) AS has_vector
            FROM sightline.collection_embedding_space AS u
            JOIN sightline.collection AS c ON c.id = u.collection_id
            LEFT JOIN sightline.asset AS a ON a.collection_id = c.id
            WHERE u.embedding_space_id = $1 AND u.level = $2
        ) AS checked
        GROUP BY name ORDER BY name
        $q$, 'embedding_' || space.id) USING space.id, space.level;
END
$$;
COMMENT ON FUNCTION analytics.coverage IS
    'Number of assets with and without a vector, by collection. At the level region an asset counts '
    'if one of its regions has a vector; an asset too small for tiles counts as without.';

CREATE FUNCTION analytics.similarity(a text, b text, embedding_space integer DEFAULT NULL)
RETURNS double precision
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    space sightline.embedding_space :=
        sightline.resolve_embedding_space(embedding_space, 'asset', a);
    result double precision;
BEGIN
    EXECUTE format($q$
        SELECT 1 - (x.embedding <=> y.embedding)
        FROM sightline.%1$I AS x, sightline.%1$I AS y WHERE x.asset_id = $1 AND y.asset_id = $2
        $q$, 'embedding_' || space.id) INTO result USING a, b;
    RETURN result;
END
$$;
COMMENT ON FUNCTION analytics.similarity IS
    'Cosine similarity of two assets (1 = same); null if one has no vector.';

CREATE FUNCTION analytics.centroid(
    collection_name text DEFAULT NULL, metadata jsonb DEFAULT '{}',
    embedding_space integer DEFAULT NULL
)
RETURNS TABLE (embedding_space_id integer, asset_count bigint, centroid halfvec)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path FROM CURRENT AS $$
DECLARE
    space sightline.embedding_space := sightline.resolve_embedding_space(embedding_space, 'asset');
BEGIN
    RETURN QUERY EXECUTE format($q$
        SELECT $1, count(*), avg(e.embedding)
        FROM sightline.%I AS e
        JOIN sightline.asset AS a ON a.id = e.asset_id
        JOIN sightline.collection AS c ON c.id = a.collection_id
        WHERE ($2 IS NULL OR c.name = $2) AND a.metadata @> $3
        $q$, 'embedding_' || space.id) USING space.id, collection_name, metadata;
END
$$;
COMMENT ON FUNCTION analytics.centroid IS
    'Mean vector of the assets of one or all collections whose metadata contains the given values.';

CREATE FUNCTION analytics.outliers(
    k integer DEFAULT 20, embedding_space integer DEFAULT NULL, collection_name text DEFAULT NULL
)
RETURNS TABLE (asset_id text, collection text, distance double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 20 SET search_path FROM CURRENT AS $$
DECLARE
    space sightline.embedding_space := sightline.resolve_embedding_space(embedding_space, 'asset');
BEGIN
    RETURN QUERY EXECUTE format($q$
        WITH center AS MATERIALIZED (
            SELECT e.collection_id, c.name, avg(e.embedding) AS mean
            FROM sightline.%1$I AS e
            JOIN sightline.collection AS c ON c.id = e.collection_id
            WHERE $2 IS NULL OR c.name = $2
            GROUP BY e.collection_id, c.name
        )
        SELECT e.asset_id, center.name, e.embedding <=> center.mean AS distance
        FROM sightline.%1$I AS e
        JOIN center ON center.collection_id = e.collection_id
        ORDER BY distance DESC, e.asset_id
        LIMIT $1
        $q$, 'embedding_' || space.id) USING k, collection_name;
END
$$;
COMMENT ON FUNCTION analytics.outliers IS
    'The k assets farthest from the mean of their collection, by cosine distance.';

CREATE FUNCTION analytics.drift(
    earlier tstzrange, later tstzrange, embedding_space integer DEFAULT NULL,
    collection_name text DEFAULT NULL
)
RETURNS TABLE (
    collection text, earlier_count bigint, later_count bigint, distance double precision,
    spread double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10 SET search_path FROM CURRENT AS $$
DECLARE
    space sightline.embedding_space := sightline.resolve_embedding_space(embedding_space, 'asset');
BEGIN
    RETURN QUERY EXECUTE format($q$
        WITH vector AS MATERIALIZED (
            SELECT c.name, a.captured_at <@ $1 AS is_earlier, a.captured_at <@ $2 AS is_later,
                e.embedding
            FROM sightline.asset AS a
            JOIN sightline.collection AS c ON c.id = a.collection_id
            JOIN sightline.%I AS e ON e.asset_id = a.id
            WHERE (a.captured_at <@ $1 OR a.captured_at <@ $2) AND ($3 IS NULL OR c.name = $3)
        ), mean AS (
            SELECT name,
                count(*) FILTER (WHERE is_earlier) AS n_earlier,
                count(*) FILTER (WHERE is_later) AS n_later,
                avg(embedding) FILTER (WHERE is_earlier) AS earlier,
                avg(embedding) FILTER (WHERE is_later) AS later
            FROM vector GROUP BY name
        )
        SELECT mean.name, mean.n_earlier, mean.n_later, mean.earlier <=> mean.later,
            (SELECT avg(vector.embedding <=> mean.earlier)
             FROM vector WHERE vector.name = mean.name AND vector.is_earlier)
        FROM mean
        ORDER BY 4 DESC NULLS LAST, 1
        $q$, 'embedding_' || space.id) USING earlier, later, collection_name;
END
$$;
COMMENT ON FUNCTION analytics.drift IS
    'Cosine distance between the mean vectors of two periods of captured_at, by collection. spread '
    'is the mean distance of the earlier assets from their mean, for comparison.';

CREATE FUNCTION analytics.overlapping_annotations(
    min_iou double precision DEFAULT 0.0, collection_name text DEFAULT NULL
)
RETURNS TABLE (
    asset_id text, collection text, first_annotation_id bigint, first_label text,
    first_annotator text, second_annotation_id bigint, second_label text, second_annotator text,
    iou double precision
)
LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 100 SET search_path FROM CURRENT AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT p.asset_id, c.name, p.first_id, p.first_label, p.first_annotator, p.second_id,
        p.second_label, p.second_annotator,
        p.common / ((p.ax1 - p.ax0) * (p.ay1 - p.ay0) + (p.bx1 - p.bx0) * (p.by1 - p.by0) - p.common)
            AS iou
    FROM (  -- the older one first
        SELECT a.asset_id, a.id AS first_id, a.label AS first_label,
            coalesce(a.model, a.author, a.origin) AS first_annotator, b.id AS second_id,
            b.label AS second_label, coalesce(b.model, b.author, b.origin) AS second_annotator,
            a.x0::float8 AS ax0, a.y0::float8 AS ay0, a.x1::float8 AS ax1, a.y1::float8 AS ay1,
            b.x0::float8 AS bx0, b.y0::float8 AS by0, b.x1::float8 AS bx1, b.y1::float8 AS by1,
            greatest(0, least(a.x1, b.x1)::float8 - greatest(a.x0, b.x0)::float8)
                * greatest(0, least(a.y1, b.y1)::float8 - greatest(a.y0, b.y0)::float8) AS common
        FROM sightline.annotation AS a
        JOIN sightline.annotation AS b
            ON b.asset_id = a.asset_id AND (b.created_at, b.id) > (a.created_at, a.id)
    ) AS p
    JOIN sightline.asset AS s ON s.id = p.asset_id
    JOIN sightline.collection AS c ON c.id = s.collection_id
    WHERE p.common > 0
        AND (collection_name IS NULL OR c.name = collection_name)
        AND p.common >= min_iou
            * ((p.ax1 - p.ax0) * (p.ay1 - p.ay0) + (p.bx1 - p.bx0) * (p.by1 - p.by0) - p.common)
    ORDER BY p.asset_id, p.first_id, p.second_id;
END
$$;
COMMENT ON FUNCTION analytics.overlapping_annotations IS
    'Pairs of overlapping boxes on one asset, with their intersection over union (iou): where '
    'people and models disagree on a box or a label. An annotator is the model, the author or the '
    'origin, in this order.';

CREATE FUNCTION analytics.require_row_size(bytes integer, max_bytes integer) RETURNS integer
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path FROM CURRENT AS $$
BEGIN
    IF bytes > max_bytes THEN
        RAISE EXCEPTION 'a row of the result has % bytes, and the maximum is %', bytes, max_bytes
        USING ERRCODE = 'program_limit_exceeded',
            HINT = 'Select fewer columns, or a part of a long value, such as left(text, 1000).';
    END IF;
    RETURN bytes;
END
$$;
COMMENT ON FUNCTION analytics.require_row_size IS
    'Of the tool query_sql: returns the size of a row, or refuses the row before it is sent.';

-- It looks up names as its caller does, and has only the rights of its caller. FOR opens a cursor,
-- which accepts one statement.
CREATE FUNCTION analytics.query_plan(statement text) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE
        pg_catalog.concat('EXPLAIN (COSTS OFF) SELECT * FROM (', statement, ') AS q')
    LOOP
        RETURN NEXT line;
    END LOOP;
END
$$;
COMMENT ON FUNCTION analytics.query_plan IS
    'Of the tool query_sql: the plan of a statement as rows, whose size can be limited. It has no '
    'estimates, which tell about rows that the caller must not see.';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA analytics FROM PUBLIC;

---------------------------------------------------------------------------------------------------
-- Roles
---------------------------------------------------------------------------------------------------

-- Idempotent. `sightline grant-analyst` starts with it.
CREATE FUNCTION sightline.ensure_roles() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET lock_timeout = '30s' AS $$
DECLARE
    role text;
    object record;
    table_owner name :=
        (SELECT relowner::regrole FROM pg_class WHERE oid = 'sightline.asset'::regclass);
    -- Since Postgres 16, who creates a role may only administer it, until it grants more to itself.
    has_options boolean := current_setting('server_version_num')::integer >= 160000;
BEGIN
    -- Concurrent identical grants would fail.
    PERFORM FROM sightline.lock WHERE name = 'roles' FOR UPDATE;
    FOREACH role IN ARRAY
        ARRAY['sightline_analyst', 'sightline_analytics_owner', 'sightline_principal']
    LOOP
        IF to_regrole(role) IS NULL THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- created by another database of this server at the same time
            END;
        END IF;
    END LOOP;
    FOREACH role IN ARRAY ARRAY['sightline_analytics_owner', 'sightline_principal'] LOOP
        -- A superuser is always a member.
        IF NOT pg_has_role(table_owner, role, CASE WHEN has_options THEN 'SET' ELSE 'MEMBER' END)
            OR has_options AND NOT pg_has_role(table_owner, role, 'USAGE')
        THEN
            EXECUTE format('GRANT %I TO %I', role, table_owner)
                || CASE WHEN has_options THEN ' WITH INHERIT TRUE, SET TRUE' ELSE '' END;
        END IF;
    END LOOP;

    GRANT USAGE ON SCHEMA sightline TO sightline_analytics_owner, sightline_principal;
    GRANT DELETE ON sightline.asset, sightline.source TO sightline_principal;
    GRANT DELETE ON sightline.annotation, sightline.vocabulary TO sightline_principal;
    -- Nobody chooses an id or a time: a conflict would tell that an id exists.
    GRANT
        INSERT (asset_id, label, x0, y0, x1, y1, score, origin, model, author, note),
        UPDATE (label, x0, y0, x1, y1, score, origin, model, author, note)
    ON sightline.annotation TO sightline_principal;
    GRANT INSERT (
        principal, tool, collection, query, arguments, timings_ms, total_ms, result_count,
        weak_count, results, request_id
    ) ON sightline.retrieval_log TO sightline_principal;
    GRANT EXECUTE ON FUNCTION sightline.new_id, sightline.permuted_number TO sightline_principal;
    -- Only tables with a policy may be read.
    FOR object IN
        SELECT oid::regclass AS name FROM pg_class
        WHERE relnamespace = 'sightline'::regnamespace AND relrowsecurity
    LOOP
        EXECUTE format(
            'GRANT SELECT ON %s TO sightline_analytics_owner, sightline_principal', object.name);
    END LOOP;
    GRANT EXECUTE ON FUNCTION
        sightline.current_principal_id, sightline.current_principal_name,
        sightline.visible_collection_ids
    TO sightline_analyst, sightline_analytics_owner, sightline_principal;
    GRANT EXECUTE ON FUNCTION sightline.count_collections_of_space TO sightline_principal;
    GRANT EXECUTE ON FUNCTION sightline.resolve_embedding_space TO sightline_analytics_owner;

    GRANT USAGE, CREATE ON SCHEMA analytics TO sightline_analytics_owner;
    FOR object IN
        SELECT format('TABLE %s', oid::regclass) AS name FROM pg_class
        WHERE relnamespace = 'analytics'::regnamespace AND relkind IN ('v', 'r')
            AND relowner <> to_regrole('sightline_analytics_owner')
        UNION ALL
        SELECT format('FUNCTION %s', oid::regprocedure) FROM pg_proc
        WHERE pronamespace = 'analytics'::regnamespace
            AND proowner <> to_regrole('sightline_analytics_owner')
    LOOP
        EXECUTE format('ALTER %s OWNER TO sightline_analytics_owner', object.name);
    END LOOP;
    REVOKE CREATE ON SCHEMA analytics FROM sightline_analytics_owner;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA analytics FROM PUBLIC;
    GRANT USAGE ON SCHEMA analytics TO sightline_analyst;
    GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO sightline_analyst;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA analytics TO sightline_analyst;
END
$$;
COMMENT ON FUNCTION sightline.ensure_roles IS
    'Creates the roles of analysts and principals and grants their rights.';
REVOKE ALL ON FUNCTION sightline.ensure_roles FROM PUBLIC;

-- A migration that adds a view, function or table for analysts ends with this call. Without the
-- right to create roles, an administrator runs `sightline grant-analyst` later.
CREATE FUNCTION sightline.ensure_roles_if_permitted() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM sightline.ensure_roles();
EXCEPTION WHEN insufficient_privilege THEN
    RAISE NOTICE 'roles of analysts and principals were not created: %', SQLERRM;
END
$$;
REVOKE ALL ON FUNCTION sightline.ensure_roles_if_permitted FROM PUBLIC;
SELECT sightline.ensure_roles_if_permitted();
