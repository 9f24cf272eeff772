-- Keeps the shard of a category where it is until the transaction ends, and refuses if that is not this node: the shard was
-- moved after the call was planned, or Citus could not delegate the call. Locks taken on another node exclude nobody.
--
-- A move of a shard takes this lock exclusively while it changes the shard's node. Only the owner may take it directly.
CREATE FUNCTION {schema}.lock_shard(category text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  _share_lock constant integer := 5;
  _shard constant bigint := get_shard_id_for_distribution_column({schema_literal.messages}::regclass, category);
BEGIN
  PERFORM lock_shard_metadata(_share_lock, ARRAY[_shard]);

  -- A statement of its own, which sees what a move that held the lock has changed.
  IF NOT EXISTS (
    SELECT
    FROM pg_dist_placement AS placement
    WHERE placement.shardid = _shard AND placement.groupid = (SELECT groupid FROM pg_dist_local_group)
  ) THEN
    RAISE EXCEPTION 'The category % is not on this node: it was moved, or Citus could not delegate the call', category
      USING ERRCODE = 'serialization_failure';
  END IF;
END
$function$;
