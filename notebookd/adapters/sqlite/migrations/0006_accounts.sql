-- Which account a name stands for: the uid that it had when it was seen first. A name is used again after its owner has
-- left, the uid says so. Clocks as in 0001.
CREATE TABLE account (
    name    TEXT PRIMARY KEY,
    uid     INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
