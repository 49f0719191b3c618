-- A lease tells whose it was: what somebody had of GPUs stays on their bill when the notebook is given to another.

ALTER TABLE lease ADD COLUMN owner TEXT NOT NULL DEFAULT '';

UPDATE lease SET owner = coalesce(
    (SELECT i.owner FROM interval i WHERE i.run_id = lease.run_id LIMIT 1),
    (SELECT n.owner FROM run r JOIN notebook n ON n.id = r.notebook_id WHERE r.id = lease.run_id));

CREATE INDEX lease_by_owner ON lease (owner, released_at, granted_at);

-- Sums of the accounts by day (UTC), so that a report need not read every interval, lease and hour of use. They follow
-- from those: what is written there is added here in the same transaction, and they can be made again at any time. An
-- account is whom and what is billed, with gpu_uuid of all GPUs together (null), or of one ('' without a GPU). A day of
-- an account is there as long as it has parts, or hours of use.
CREATE TABLE usage_account (
    id          INTEGER PRIMARY KEY,
    notebook_id TEXT NOT NULL,
    owner       TEXT NOT NULL,
    flavor      TEXT NOT NULL,
    gpu_uuid    TEXT
) STRICT;

CREATE INDEX usage_account_by_notebook ON usage_account (notebook_id, owner, flavor, gpu_uuid);
CREATE INDEX usage_account_by_owner ON usage_account (owner);

-- Units as in interval, lease and gpu_use. A stay has its minutes on each of its GPUs, and once on the first.
CREATE TABLE usage_day (
    account          INTEGER NOT NULL,
    day              INTEGER NOT NULL,
    parts            INTEGER NOT NULL,
    used             INTEGER NOT NULL CHECK (used IN (0, 1)),
    once             INTEGER NOT NULL,
    minutes          INTEGER NOT NULL,
    gpu_minutes      INTEGER NOT NULL,
    leased           INTEGER NOT NULL,
    sampled          INTEGER NOT NULL,
    busy             INTEGER NOT NULL,
    peak_utilisation INTEGER NOT NULL,
    peak_memory      INTEGER NOT NULL,
    energy           INTEGER NOT NULL,
    PRIMARY KEY (account, day)
) STRICT, WITHOUT ROWID;

-- What a day of an account costs in a currency, of so many rated parts.
CREATE TABLE usage_price (
    account  INTEGER NOT NULL,
    day      INTEGER NOT NULL,
    currency TEXT NOT NULL,
    parts    INTEGER NOT NULL,
    micros   INTEGER NOT NULL,
    PRIMARY KEY (account, day, currency)
) STRICT, WITHOUT ROWID;

-- Each that is remembered makes the old ones be forgotten.
CREATE INDEX answer_by_time ON answer (at);
