-- name: account
SELECT uid FROM account WHERE name = ?;

-- name: notebook_owners
SELECT DISTINCT owner FROM notebook WHERE deleted_at IS NULL ORDER BY owner;

-- name: owners
SELECT owner FROM notebook WHERE deleted_at IS NULL AND owner NOT IN (SELECT name FROM account)
UNION SELECT owner FROM token WHERE owner NOT IN (SELECT name FROM account);

-- name: put_account
INSERT INTO account (name, uid, seen_at) VALUES (:name, :uid, :seen_at)
ON CONFLICT (name) DO UPDATE SET uid = excluded.uid, seen_at = excluded.seen_at;

-- name: forget_answers_of
DELETE FROM answer WHERE actor = :owner;

-- name: rename_stays
UPDATE interval SET owner = :known_as WHERE owner = :owner AND length IS NOT NULL;

-- name: rename_open_stays
UPDATE interval SET owner = :known_as WHERE owner = :owner AND length IS NULL;

-- name: rename_leases
UPDATE lease SET owner = :known_as WHERE owner = :owner;

-- name: rename_events
UPDATE event SET owner = :known_as, body = json_set(body, '$.owner', :known_as) WHERE owner = :owner;

-- name: rename_tombstones
UPDATE notebook SET owner = :known_as, body = json_set(body, '$.owner', :known_as)
WHERE owner = :owner AND deleted_at IS NOT NULL;
