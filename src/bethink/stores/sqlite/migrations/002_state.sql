-- How far imports, distillation and the like have come: JSON by owner, namespace and key.
CREATE TABLE state (
    owner TEXT NOT NULL,
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (owner, namespace, key)
) STRICT, WITHOUT ROWID;
