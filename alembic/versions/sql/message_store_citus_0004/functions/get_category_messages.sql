CREATE OR REPLACE FUNCTION {schema}.get_category_messages(
  category varchar,
  "position" bigint DEFAULT 1,
  batch_size bigint DEFAULT 1000,
  correlation varchar DEFAULT NULL,
  consumer_group_member bigint DEFAULT NULL,
  consumer_group_size bigint DEFAULT NULL,
  condition varchar DEFAULT NULL
)
RETURNS SETOF {schema}.message
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET jit = off
AS $function$
DECLARE
  _position bigint := coalesce(get_category_messages.position, 1);
  _limit bigint := nullif(coalesce(batch_size, 1000), -1);
  _command text;
BEGIN
  IF NOT {schema}.is_category(category) THEN
    RAISE EXCEPTION 'Must be a category: %', category
      USING
        CONSTRAINT = 'not_a_category',
        SCHEMA = {schema_name},
        DETAIL = pg_catalog.json_build_object('category', category)::text;
  END IF;

  PERFORM {schema}.check_filters(correlation, consumer_group_member, consumer_group_size);

  _command := $sql$
    SELECT
      id::varchar, stream_name::varchar, type::varchar, position, global_position,
      data::varchar, metadata::varchar, time
    FROM {schema}.messages
    WHERE category OPERATOR(pg_catalog.=) $1
      AND global_position >= $2$sql$;

  IF correlation IS NOT NULL THEN
    _command := _command || $sql$
      AND {schema}.category(metadata OPERATOR(pg_catalog.->>) 'correlationStreamName') OPERATOR(pg_catalog.=) $4$sql$;
  END IF;

  IF consumer_group_size IS NOT NULL THEN
    _command := _command || $sql$
      AND {schema}.is_member(stream_name, $5, $6)$sql$;
  END IF;

  RETURN QUERY EXECUTE {schema}.conditional_command(_command, condition) || $sql$
    ORDER BY global_position
    LIMIT $3$sql$
    USING category::text, _position, _limit, correlation, consumer_group_member, consumer_group_size;
END
$function$;
