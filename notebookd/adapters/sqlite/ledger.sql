-- name: bill
SELECT run_id, notebook_id, number, name, owner, flavor, units, gpu FROM bill WHERE run_id = ?;

-- name: bills
SELECT run_id, notebook_id, number, name, owner, flavor, units, gpu FROM bill WHERE notebook_id = ? ORDER BY number;

-- name: intervals
SELECT run_id, position, owner, state, gpus, boot_id, started_at, started_boot, seen_at, seen_boot, length, rate,
    currency
FROM interval WHERE run_id = ? ORDER BY position;

-- name: open_intervals
SELECT run_id, position, owner, state, gpus, boot_id, started_at, started_boot, seen_at, seen_boot, length, rate,
    currency
FROM interval WHERE length IS NULL AND (:owner IS NULL OR owner = :owner);

-- name: stays
SELECT i.run_id, b.notebook_id, b.name, b.owner, b.flavor, b.units, b.gpu, i.gpus, i.started_at, i.length, i.rate,
    i.currency
FROM interval i JOIN bill b ON b.run_id = i.run_id
WHERE i.length IS NOT NULL AND i.ended_at >= :start AND i.started_at < :end;

-- name: stays_of_owner
SELECT i.run_id, b.notebook_id, b.name, b.owner, b.flavor, b.units, b.gpu, i.gpus, i.started_at, i.length, i.rate,
    i.currency
FROM interval i JOIN bill b ON b.run_id = i.run_id
WHERE i.length IS NOT NULL AND i.owner = :owner AND i.ended_at >= :start AND i.started_at < :end;

-- name: tenures
SELECT b.notebook_id, b.name, b.owner, b.flavor, l.gpu_uuid, l.granted_at, l.released_at
FROM lease l JOIN bill b ON b.run_id = l.run_id
WHERE l.released_at > :start AND l.granted_at < :end AND (:owner IS NULL OR b.owner = :owner)
UNION ALL
SELECT b.notebook_id, b.name, b.owner, b.flavor, l.gpu_uuid, l.granted_at, :now
FROM lease l JOIN bill b ON b.run_id = l.run_id
WHERE l.released_at IS NULL AND l.granted_at < :end AND (:owner IS NULL OR b.owner = :owner);

-- name: tenures_of_run
SELECT b.notebook_id, b.name, b.owner, b.flavor, l.gpu_uuid, l.granted_at, coalesce(l.released_at, :now)
FROM lease l JOIN bill b ON b.run_id = l.run_id
WHERE l.run_id = :run_id ORDER BY l.granted_at, l.gpu_uuid;

-- name: uses
SELECT b.notebook_id, b.name, b.owner, b.flavor, u.gpu_uuid, u.hour_at, u.sampled, u.busy, u.peak_utilisation,
    u.peak_memory, u.energy
FROM gpu_use u JOIN bill b ON b.run_id = u.run_id
WHERE u.hour_at >= :start AND u.hour_at < :end AND (:owner IS NULL OR b.owner = :owner);

-- name: uses_of_run
SELECT gpu_uuid, sum(sampled), sum(busy), max(peak_utilisation), max(peak_memory), sum(energy)
FROM gpu_use WHERE run_id = ? GROUP BY gpu_uuid;

-- name: put_bill
INSERT INTO bill (run_id, notebook_id, number, name, owner, flavor, units, gpu)
VALUES (:run_id, :notebook_id, :number, :name, :owner, :flavor, :units, :gpu)
ON CONFLICT (run_id) DO NOTHING;

-- name: put_interval
INSERT INTO interval (run_id, position, owner, state, gpus, boot_id, started_at, started_boot, seen_at, seen_boot,
    length, rate, currency)
VALUES (:run_id, :position, :owner, :state, :gpus, :boot_id, :started_at, :started_boot, :seen_at, :seen_boot,
    :length, :rate, :currency)
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
