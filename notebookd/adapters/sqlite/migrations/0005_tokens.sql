-- App tokens. The record of one holds the SHA-256 of its value, never the value. One that was deleted is gone; what it
-- did stands in the events.
CREATE TABLE token (
    id         TEXT PRIMARY KEY,
    owner      TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    body       TEXT NOT NULL CHECK (json_valid(body))
) STRICT;

CREATE INDEX token_by_owner ON token (owner, created_at);
