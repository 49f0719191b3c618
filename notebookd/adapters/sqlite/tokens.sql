-- name: labels
SELECT json_extract(body, '$.spec.labels') FROM notebook WHERE id = ?;

-- name: token
SELECT body FROM token WHERE id = ?;

-- name: tokens
SELECT body FROM token WHERE :owner IS NULL OR owner = :owner ORDER BY created_at, id LIMIT :limit OFFSET :offset;

-- name: count_tokens
SELECT count(*) FROM token WHERE :owner IS NULL OR owner = :owner;

-- name: put_token
INSERT INTO token (id, owner, created_at, body) VALUES (:id, :owner, :created_at, :body)
ON CONFLICT (id) DO UPDATE SET body = excluded.body;

-- name: remove_token
DELETE FROM token WHERE id = :id;
