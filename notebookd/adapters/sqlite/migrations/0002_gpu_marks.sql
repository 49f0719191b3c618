-- What is remembered of a GPU is one record (drained, quarantined, forgiven, foreign); a run has a place in the queue of
-- its own, which a run that follows another may inherit; a run may hold the same GPU twice, one time after the other.

CREATE TABLE gpu_marks (
    gpu_uuid TEXT PRIMARY KEY,
    body     TEXT NOT NULL CHECK (json_valid(body))
) STRICT;

INSERT INTO gpu_marks (gpu_uuid, body) SELECT gpu_uuid, json_object('drained', json('true')) FROM drained_gpu;

DROP TABLE drained_gpu;

ALTER TABLE run ADD COLUMN place INTEGER NOT NULL DEFAULT 0;

UPDATE run SET place = ranked.place, body = json_set(run.body, '$.place', ranked.place)
FROM (SELECT id, row_number() OVER (ORDER BY queued_at, id) AS place FROM run) AS ranked
WHERE ranked.id = run.id;

DROP INDEX run_active;

CREATE INDEX run_active ON run (place)
    WHERE state IN ('QUEUED', 'INITIALIZING', 'PENDING', 'RUNNING', 'RESTARTING', 'INTERRUPTING', 'FINALIZING');

CREATE INDEX run_by_place ON run (place);

CREATE TABLE lease_history (
    gpu_uuid    TEXT NOT NULL,
    run_id      TEXT NOT NULL REFERENCES run (id),
    granted_at  INTEGER NOT NULL,
    released_at INTEGER,
    PRIMARY KEY (run_id, gpu_uuid, granted_at)
) STRICT;

INSERT INTO lease_history SELECT gpu_uuid, run_id, granted_at, released_at FROM lease;

DROP TABLE lease;

ALTER TABLE lease_history RENAME TO lease;

CREATE UNIQUE INDEX lease_active ON lease (gpu_uuid) WHERE released_at IS NULL;
