-- name: open_account
INSERT INTO usage_account (notebook_id, owner, flavor, gpu_uuid) SELECT :notebook_id, :owner, :flavor, :gpu_uuid
WHERE NOT EXISTS (
    SELECT 1 FROM usage_account
    WHERE notebook_id = :notebook_id AND owner = :owner AND flavor = :flavor AND gpu_uuid IS :gpu_uuid);

-- name: add_to_day
INSERT INTO usage_day (account, day, parts, used, once, minutes, gpu_minutes, leased, sampled, busy, peak_utilisation,
    peak_memory, energy)
SELECT id, :day, :parts, :used, :once, :minutes, :gpu_minutes, :leased, :sampled, :busy, :peak_utilisation,
    :peak_memory, :energy
FROM usage_account
WHERE notebook_id = :notebook_id AND owner = :owner AND flavor = :flavor AND gpu_uuid IS :gpu_uuid
ORDER BY id LIMIT 1
ON CONFLICT (account, day) DO UPDATE SET
    parts = parts + excluded.parts, used = max(used, excluded.used), once = once + excluded.once,
    minutes = minutes + excluded.minutes, gpu_minutes = gpu_minutes + excluded.gpu_minutes,
    leased = leased + excluded.leased, sampled = sampled + excluded.sampled, busy = busy + excluded.busy,
    peak_utilisation = max(peak_utilisation, excluded.peak_utilisation),
    peak_memory = max(peak_memory, excluded.peak_memory), energy = energy + excluded.energy;

-- name: add_to_price
INSERT INTO usage_price (account, day, currency, parts, micros)
SELECT id, :day, :currency, :parts, :micros FROM usage_account
WHERE notebook_id = :notebook_id AND owner = :owner AND flavor = :flavor AND gpu_uuid IS :gpu_uuid
ORDER BY id LIMIT 1
ON CONFLICT (account, day, currency) DO UPDATE SET
    parts = parts + excluded.parts, micros = micros + excluded.micros;

-- name: drop_empty_day
DELETE FROM usage_day WHERE parts = 0 AND used = 0 AND day = :day AND account IN (
    SELECT id FROM usage_account
    WHERE notebook_id = :notebook_id AND owner = :owner AND flavor = :flavor AND gpu_uuid IS :gpu_uuid);

-- name: drop_empty_price
DELETE FROM usage_price WHERE parts = 0 AND day = :day AND account IN (
    SELECT id FROM usage_account
    WHERE notebook_id = :notebook_id AND owner = :owner AND flavor = :flavor AND gpu_uuid IS :gpu_uuid);

-- name: fill_day
INSERT INTO usage_day (account, day, parts, used, once, minutes, gpu_minutes, leased, sampled, busy, peak_utilisation,
    peak_memory, energy)
VALUES (:account, :day, :parts, :used, :once, :minutes, :gpu_minutes, :leased, :sampled, :busy, :peak_utilisation,
    :peak_memory, :energy);

-- name: fill_price
INSERT INTO usage_price (account, day, currency, parts, micros) VALUES (:account, :day, :currency, :parts, :micros);

-- name: rename_accounts
UPDATE usage_account SET owner = :known_as WHERE owner = :owner;

-- name: summed_days
SELECT min(day), max(day) FROM usage_day;

-- name: summed_totals
SELECT coalesce(sum(d.once), 0), coalesce(sum(d.leased), 0), coalesce(sum(d.sampled), 0), coalesce(sum(d.energy), 0)
FROM usage_account a CROSS JOIN usage_day d ON d.account = a.id WHERE a.gpu_uuid IS NULL;

-- name: walked_totals
SELECT
    (SELECT coalesce(sum(max(1, (length + 59999) / 60000)), 0) FROM interval WHERE length IS NOT NULL),
    (SELECT coalesce(sum(max(0, released_at - granted_at)), 0) FROM lease WHERE released_at IS NOT NULL),
    (SELECT coalesce(sum(sampled), 0) FROM gpu_use), (SELECT coalesce(sum(energy), 0) FROM gpu_use);

-- name: walked_days
SELECT min(first_at), max(last_at) FROM (
    SELECT min(started_at) AS first_at, max(ended_at) AS last_at FROM interval WHERE length IS NOT NULL
    UNION ALL SELECT min(granted_at), max(released_at) FROM lease WHERE released_at IS NOT NULL
    UNION ALL SELECT min(hour_at), max(hour_at) FROM gpu_use);

-- name: forget_each_price
DELETE FROM usage_price;

-- name: forget_each_day
DELETE FROM usage_day;

-- name: forget_each_account
DELETE FROM usage_account;
