-- name: entry
SELECT n.body, n.version, r.body, r.version
FROM notebook n JOIN run r ON r.notebook_id = n.id AND r.number = n.run_number
WHERE n.id = ? AND n.deleted_at IS NULL;

-- name: entries
SELECT n.body, n.version, r.body, r.version
FROM json_each(?) j JOIN notebook n ON n.id = j.value JOIN run r ON r.notebook_id = n.id AND r.number = n.run_number
WHERE n.deleted_at IS NULL;

-- name: generation
PRAGMA data_version;

-- name: run_owner
SELECT notebook_id FROM run WHERE id = ?;

-- name: runs
SELECT body, version FROM run WHERE notebook_id = ? ORDER BY number;

-- name: unsettled
SELECT n.id
FROM run r JOIN notebook n ON n.id = r.notebook_id AND n.run_number = r.number
WHERE r.state IN ('QUEUED', 'INITIALIZING', 'PENDING', 'RUNNING', 'RESTARTING', 'INTERRUPTING', 'FINALIZING')
  AND n.deleted_at IS NULL
UNION
SELECT n.id
FROM notebook n
WHERE n.deleting_at IS NOT NULL AND n.deleted_at IS NULL
UNION
SELECT n.id
FROM lease l JOIN run r ON r.id = l.run_id
JOIN notebook n ON n.id = r.notebook_id AND n.run_number = r.number
WHERE l.released_at IS NULL AND n.deleted_at IS NULL;

-- name: count_by_owner
SELECT count(*) FROM notebook WHERE owner = ? AND deleted_at IS NULL;

-- name: named
SELECT id FROM notebook
WHERE owner = ? AND name = ? AND deleted_at IS NULL AND deleting_at IS NULL
ORDER BY created_at LIMIT 1;

-- name: count_by_state
SELECT r.state, n.deleting_at IS NOT NULL, count(*)
FROM notebook n JOIN run r ON r.notebook_id = n.id AND r.number = n.run_number
WHERE n.deleted_at IS NULL
GROUP BY 1, 2;

-- name: leases
SELECT gpu_uuid, run_id, granted_at FROM lease WHERE released_at IS NULL;

-- name: gpu_marks
SELECT gpu_uuid, body FROM gpu_marks;

-- name: events
SELECT id, body FROM event WHERE id > :after ORDER BY id LIMIT :limit;

-- name: events_of_notebook
SELECT id, body FROM event
WHERE id > :after AND notebook_id = :notebook AND (:owner IS NULL OR owner = :owner) ORDER BY id LIMIT :limit;

-- name: events_of_owner
SELECT id, body FROM event WHERE id > :after AND owner = :owner ORDER BY id LIMIT :limit;

-- name: first_event
SELECT coalesce(min(id), 0) FROM event;

-- name: last_event
SELECT coalesce(max(id), 0) FROM event;

-- name: answer
SELECT digest, notebook_id FROM answer WHERE actor = ? AND key = ? AND at > ?;

-- name: meta
SELECT value FROM meta WHERE key = ?;

-- name: put_notebook
INSERT INTO notebook (id, owner, name, wanted, created_at, updated_at, deleting_at, version, body)
VALUES (:id, :owner, :name, :wanted, :created_at, :updated_at, :deleting_at, :version, :body)
ON CONFLICT (id) DO UPDATE SET
    owner = excluded.owner, name = excluded.name, wanted = excluded.wanted, updated_at = excluded.updated_at,
    deleting_at = excluded.deleting_at, version = excluded.version, body = excluded.body;

-- name: put_run
INSERT INTO run (id, notebook_id, number, state, queued_at, place, version, body)
VALUES (:id, :notebook_id, :number, :state, :queued_at, :place, :version, :body)
ON CONFLICT (id) DO UPDATE SET state = excluded.state, version = excluded.version, body = excluded.body;

-- name: last_place
SELECT coalesce(max(place), 0) FROM run;

-- name: point_at_run
UPDATE notebook SET run_number = :number WHERE id = :notebook_id AND run_number < :number;

-- name: grant
INSERT INTO lease (gpu_uuid, run_id, granted_at, owner)
SELECT :gpu_uuid, :run_id, :granted_at, n.owner FROM notebook n WHERE n.id = :notebook_id
ON CONFLICT (run_id, gpu_uuid, granted_at) DO UPDATE SET released_at = NULL;

-- name: release
UPDATE lease SET released_at = :released_at WHERE run_id = :run_id AND released_at IS NULL;

-- name: append
INSERT INTO event (at, notebook_id, owner, body) VALUES (:at, :notebook_id, :owner, :body);

-- name: forget_events
DELETE FROM event WHERE id IN (
    SELECT id FROM event
    WHERE id < (SELECT coalesce((SELECT id FROM event WHERE at >= :before ORDER BY id LIMIT 1), max(id)) FROM event)
    ORDER BY id LIMIT :at_most
);

-- name: strike_off
UPDATE notebook SET deleted_at = :at WHERE id = :id;

-- name: put_gpu_marks
INSERT INTO gpu_marks (gpu_uuid, body) VALUES (:gpu_uuid, :body)
ON CONFLICT (gpu_uuid) DO UPDATE SET body = excluded.body;

-- name: put_answer
INSERT INTO answer (actor, key, digest, notebook_id, at) VALUES (:actor, :key, :digest, :notebook_id, :at)
ON CONFLICT DO NOTHING;

-- name: forget_answers
DELETE FROM answer WHERE at < :before;

-- name: put_meta
INSERT INTO meta (key, value) VALUES (:key, :value) ON CONFLICT (key) DO UPDATE SET value = excluded.value;
