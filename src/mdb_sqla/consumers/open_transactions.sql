-- Open and prepared transactions that hold a floor of this store, or a lock that its writers wait for.
WITH lock AS MATERIALIZED (
  -- All locks at one point in time. A prepared transaction has no pid; its transaction id leads to its name.
  SELECT
    locktype, relation, transactionid, classid::bigint, objid::bigint, objsubid,
    (classid::bigint << 32) | objid::bigint AS key, virtualtransaction, pid, granted
  FROM pg_catalog.pg_locks
  WHERE pid IS DISTINCT FROM pg_backend_pid()
    AND (
      (locktype = 'transactionid' AND granted)
      OR (
        locktype IN ('advisory', 'relation')
        AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
      )
    )
), floor AS MATERIALIZED (
  -- Restored from the low 32 bits, as in read_bound().
  SELECT
    virtualtransaction,
    min(CAST(:last AS bigint) - (CAST(:last AS bigint) - objid)::bit(32)::integer) AS position
  FROM lock
  WHERE locktype = 'advisory'
    AND objsubid = 2
    AND classid = CAST(CAST(:messages AS text) AS regclass)::oid::bigint
    AND granted
  GROUP BY virtualtransaction
), key_lock AS MATERIALIZED (
  SELECT DISTINCT key, virtualtransaction, pid, granted
  FROM lock
  WHERE locktype = 'advisory' AND objsubid = 1
), waiter AS MATERIALIZED (
  -- Separate, because there are few: a join of all key locks would compare each of them with all others.
  SELECT key, virtualtransaction, pid FROM key_lock WHERE NOT granted
), waiting AS MATERIALIZED (
  -- Another store in the database may have the same categories. Writers to this store hold a lock on its sequence.
  SELECT
    holder.virtualtransaction, waiter.virtualtransaction AS waiter, waiter.pid,
    waiter.virtualtransaction IN (
      SELECT virtualtransaction
      FROM lock
      WHERE locktype = 'relation'
        AND relation = CAST(CAST(:sequence AS text) AS regclass)::oid
        AND granted
    ) AS is_ours
  FROM key_lock AS holder
  JOIN waiter USING (key)
  WHERE holder.granted
    AND waiter.virtualtransaction <> holder.virtualtransaction
), writer AS MATERIALIZED (
  SELECT virtualtransaction FROM floor
  UNION
  SELECT virtualtransaction FROM waiting WHERE is_ours
), found AS MATERIALIZED (
  SELECT
    writer.virtualtransaction,
    activity.pid,
    prepared.gid,
    coalesce(activity.usename, prepared.owner)::text AS role,
    nullif(activity.application_name, '') AS application,
    host(activity.client_addr) AS client,
    activity.state,
    -- PostgreSQL shows this text instead of a query that the current role may not see.
    nullif(nullif(activity.query, '<insufficient privilege>'), '') AS query,
    extract(
      epoch FROM
      clock_timestamp() - coalesce(prepared.prepared, activity.xact_start, activity.state_change)
    )::double precision AS seconds
  FROM writer
  JOIN (
    SELECT
      virtualtransaction, max(pid) AS pid,
      array_agg(transactionid) FILTER (WHERE locktype = 'transactionid') AS transactions
    FROM lock
    GROUP BY virtualtransaction
  ) AS holder USING (virtualtransaction)
  LEFT JOIN pg_catalog.pg_stat_activity AS activity ON activity.pid = holder.pid
  LEFT JOIN pg_catalog.pg_prepared_xacts AS prepared
    ON holder.pid IS NULL AND prepared.transaction = ANY (holder.transactions)
  -- A transaction with neither has ended in the meantime.
  WHERE activity.pid IS NOT NULL OR prepared.gid IS NOT NULL
)
SELECT
  pid, gid, role, application, client, state, query, seconds, position,
  ARRAY(
    SELECT key FROM key_lock
    WHERE key_lock.virtualtransaction = found.virtualtransaction AND granted
  ) AS keys,
  ARRAY(
    SELECT DISTINCT waiting.pid FROM waiting
    WHERE waiting.virtualtransaction = found.virtualtransaction
    ORDER BY 1
  ) AS waiting,
  ARRAY(
    SELECT DISTINCT key FROM waiting
    JOIN key_lock ON key_lock.virtualtransaction = waiter
    WHERE waiting.virtualtransaction = found.virtualtransaction
  ) AS waiting_keys,
  CASE WHEN pid IS NULL THEN '{}' ELSE pg_blocking_pids(pid) END AS waits_for
FROM found
LEFT JOIN floor USING (virtualtransaction)
WHERE seconds >= CAST(:at_least AS double precision) OR seconds IS NULL
ORDER BY position NULLS LAST, seconds DESC NULLS LAST
