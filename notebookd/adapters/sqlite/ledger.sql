-- name: bill
SELECT r.id, n.id, n.name, coalesce((SELECT owner FROM interval WHERE run_id = r.id LIMIT 1),
        (SELECT owner FROM lease WHERE run_id = r.id LIMIT 1), n.owner),
    json_extract(r.body, '$.resources.flavor'),
    json_extract(r.body, '$.resources.units'), json_extract(r.body, '$.resources.gpu')
FROM run r JOIN notebook n ON n.id = r.notebook_id
WHERE r.id = ?;

-- name: bills
SELECT r.id, n.id, n.name, n.owner, json_extract(r.body, '$.resources.flavor'),
    json_extract(r.body, '$.resources.units'), json_extract(r.body, '$.resources.gpu')
FROM notebook n JOIN run r ON r.notebook_id = n.id
WHERE n.id = ? ORDER BY r.number;

-- name: intervals
SELECT notebook_id, owner, flavor, name, run_id, units, gpu, gpus, started_at, length, rate, currency, position, state,
    boot_id, started_boot, seen_at, seen_boot
FROM interval WHERE run_id = ? ORDER BY position;

-- name: open_intervals
SELECT notebook_id, owner, flavor, name, run_id, units, gpu, gpus, started_at, length, rate, currency, position, state,
    boot_id, started_boot, seen_at, seen_boot
FROM interval WHERE length IS NULL AND (:owner IS NULL OR owner = :owner);

-- name: running_before
SELECT coalesce(sum(i.length), 0) FROM run r JOIN interval i ON i.run_id = r.id
WHERE r.notebook_id = :notebook_id AND r.number < :number AND i.state = 'RUNNING';

-- name: open_minutes
SELECT coalesce(sum(max(1, (:now - started_at + 59999) / 60000)), 0) FROM interval WHERE length IS NULL;

-- name: stays
SELECT notebook_id, owner, flavor, name, run_id, units, gpu, gpus, started_at, length, rate, currency
FROM interval WHERE length IS NOT NULL AND ended_at >= :start AND started_at < :end;

-- name: stays_of_owner
SELECT notebook_id, owner, flavor, name, run_id, units, gpu, gpus, started_at, length, rate, currency
FROM interval WHERE length IS NOT NULL AND owner = :owner AND ended_at >= :start AND started_at < :end;

-- name: stay
SELECT notebook_id, owner, flavor, name, run_id, units, gpu, gpus, started_at, length, rate, currency
FROM interval WHERE run_id = :run_id AND position = :position AND length IS NOT NULL;

-- name: tenures
SELECT run_id, gpu_uuid, granted_at, released_at FROM lease
WHERE released_at > :start AND granted_at < :end;

-- name: tenures_of_owner
SELECT run_id, gpu_uuid, granted_at, released_at FROM lease
WHERE owner = :owner AND released_at > :start AND granted_at < :end;

-- name: open_tenures
SELECT run_id, gpu_uuid, granted_at, :now FROM lease
WHERE released_at IS NULL AND (:owner IS NULL OR owner = :owner);

-- name: open_tenures_of_run
SELECT run_id, gpu_uuid, granted_at, :now FROM lease WHERE run_id = :run_id AND released_at IS NULL;

-- name: ended_tenure
SELECT run_id, gpu_uuid, granted_at, released_at FROM lease
WHERE run_id = :run_id AND gpu_uuid = :gpu_uuid AND granted_at = :granted_at AND released_at IS NOT NULL;

-- name: tenures_of_run
SELECT run_id, gpu_uuid, granted_at, coalesce(released_at, :now)
FROM lease WHERE run_id = :run_id ORDER BY granted_at, gpu_uuid;

-- name: uses
SELECT run_id, gpu_uuid, hour_at, sampled, busy, peak_utilisation, peak_memory, energy
FROM gpu_use WHERE hour_at >= :start AND hour_at < :end;

-- name: uses_of_owner
SELECT u.run_id, u.gpu_uuid, u.hour_at, u.sampled, u.busy, u.peak_utilisation, u.peak_memory, u.energy
FROM (SELECT DISTINCT run_id FROM lease WHERE owner = :owner) r JOIN gpu_use u ON u.run_id = r.run_id
WHERE u.hour_at >= :start AND u.hour_at < :end;

-- name: uses_of_run
SELECT run_id, gpu_uuid, min(hour_at), sum(sampled), sum(busy), max(peak_utilisation), max(peak_memory), sum(energy)
FROM gpu_use WHERE run_id = ? GROUP BY gpu_uuid;

-- name: notebook_names
SELECT id, name FROM notebook WHERE id IN (SELECT value FROM json_each(?));

-- name: run_labels
SELECT coalesce(json_extract(r.body, '$.labels'), json_extract(n.body, '$.spec.labels'), '{}')
FROM run r JOIN notebook n ON n.id = r.notebook_id WHERE r.id = ?;

-- name: put_interval
INSERT INTO interval (notebook_id, name, owner, flavor, run_id, units, gpu, gpus, started_at, length, rate, currency,
    position, state, boot_id, started_boot, seen_at, seen_boot)
VALUES (:notebook_id, :name, :owner, :flavor, :run_id, :units, :gpu, :gpus, :started_at, :length, :rate, :currency,
    :position, :state, :boot_id, :started_boot, :seen_at, :seen_boot)
ON CONFLICT (run_id, position) DO UPDATE SET
    seen_at = excluded.seen_at, seen_boot = excluded.seen_boot, length = excluded.length;

-- name: checkpoint
UPDATE interval SET seen_at = :seen_at, seen_boot = :seen_boot
WHERE length IS NULL AND boot_id = :boot_id AND seen_boot < :seen_boot
    AND run_id IN (SELECT value FROM json_each(:runs));

-- name: add_gpu_use
INSERT INTO gpu_use (run_id, gpu_uuid, hour_at, sampled, busy, peak_utilisation, peak_memory, energy)
VALUES (:run_id, :gpu_uuid, :hour_at, :sampled, :busy, :peak_utilisation, :peak_memory, :energy)
ON CONFLICT (run_id, gpu_uuid, hour_at) DO UPDATE SET
    sampled = sampled + excluded.sampled, busy = busy + excluded.busy, energy = energy + excluded.energy,
    peak_utilisation = max(peak_utilisation, excluded.peak_utilisation),
    peak_memory = max(peak_memory, excluded.peak_memory);
