-- name: open_syncs
SELECT body FROM data_sync WHERE open = 1 AND notebook_id = ? ORDER BY queued_at, rowid;

-- name: all_open_syncs
SELECT body FROM data_sync WHERE open = 1 ORDER BY queued_at, rowid;

-- name: syncs
SELECT body FROM data_sync WHERE notebook_id = :notebook_id ORDER BY queued_at DESC, rowid DESC LIMIT :limit;

-- name: syncs_of_run
SELECT s.body FROM data_sync s WHERE s.notebook_id = :notebook_id AND s.run_id = :run_id ORDER BY s.queued_at, s.rowid;

-- name: sync
SELECT body FROM data_sync WHERE id = ?;

-- name: snapshots
SELECT body FROM snapshot WHERE notebook_id = ? ORDER BY taken_at DESC, id;

-- name: snapshot
SELECT body FROM snapshot WHERE id = ?;

-- name: count_snapshots
SELECT count(*), coalesce(sum(json_extract(body, '$.size_bytes')), 0) FROM snapshot;

-- name: workspace_use
SELECT used, measured_at FROM workspace_use WHERE notebook_id = ?;

-- name: put_sync
INSERT INTO data_sync (id, notebook_id, run_id, kind, open, queued_at, body)
VALUES (:id, :notebook_id, :run_id, :kind, :open, :queued_at, :body)
ON CONFLICT (id) DO UPDATE SET open = excluded.open, body = excluded.body;

-- name: put_snapshot
INSERT INTO snapshot (id, notebook_id, taken_at, body) VALUES (:id, :notebook_id, :taken_at, :body)
ON CONFLICT (id) DO UPDATE SET body = excluded.body;

-- name: drop_snapshots
DELETE FROM snapshot WHERE notebook_id = :notebook_id AND id NOT IN (SELECT value FROM json_each(:kept));

-- name: put_workspace_use
INSERT INTO workspace_use (notebook_id, used, measured_at) VALUES (:notebook_id, :used, :measured_at)
ON CONFLICT (notebook_id) DO UPDATE SET used = excluded.used, measured_at = excluded.measured_at;
