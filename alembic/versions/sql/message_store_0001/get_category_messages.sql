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
AS $function$
DECLARE
  _position bigint := coalesce(get_category_messages.position, 1);
  _limit bigint := nullif(coalesce(batch_size, 1000), -1);
  _problem text;
  _command text;
BEGIN
  IF NOT {schema}.is_category(category) THEN
    RAISE EXCEPTION 'Must be a category: %', category
      USING ERRCODE = {schema}.error_code('MS003');
  END IF;

  IF NOT {schema}.is_category(correlation) THEN
    RAISE EXCEPTION 'Correlation must be a category (Correlation: %)', correlation
      USING ERRCODE = {schema}.error_code('MS004');
  END IF;

  _problem := CASE
    WHEN (consumer_group_member IS NULL) <> (consumer_group_size IS NULL)
      THEN 'Consumer group member and size must be specified'
    WHEN consumer_group_size < 1
      THEN 'Consumer group size must not be less than 1'
    WHEN consumer_group_member < 0
      THEN 'Consumer group member must not be less than 0'
    WHEN consumer_group_member >= consumer_group_size
      THEN 'Consumer group member must be less than the group size'
  END;

  IF _problem IS NOT NULL THEN
    RAISE EXCEPTION '% (Consumer Group Member: %, Consumer Group Size: %)',
      _problem, consumer_group_member, consumer_group_size
      USING ERRCODE = {schema}.error_code('MS005');
  END IF;

  -- Dynamic on purpose: a generic plan can't know whether a category is large or small.
  _command := $sql$
    SELECT
      id::varchar, stream_name::varchar, type::varchar, position, global_position,
      data::varchar, metadata::varchar, time
    FROM {schema}.messages
    WHERE {schema}.category(stream_name) OPERATOR(pg_catalog.=) $1 AND global_position >= $2$sql$;

  IF correlation IS NOT NULL THEN
    _command := _command || $sql$
      AND {schema}.category(metadata OPERATOR(pg_catalog.->>) 'correlationStreamName') OPERATOR(pg_catalog.=) $4$sql$;
  END IF;

  IF consumer_group_size IS NOT NULL THEN
    -- A stream without an id has no cardinal id; its name stands in, so that one member reads it.
    _command := _command || $sql$
      AND abs({schema}.hash_64(coalesce({schema}.cardinal_id(stream_name), stream_name)) % $6) = $5$sql$;
  END IF;

  _command := {schema}.conditional_command(_command, condition) || $sql$
    ORDER BY global_position
    LIMIT $3$sql$;

  IF {schema}.is_on('message_store.debug_get') OR {schema}.is_on('message_store.debug') THEN
    RAISE NOTICE '% get_category_messages', chr(CASE getdatabaseencoding() WHEN 'UTF8' THEN 187 ELSE 62 END);
    RAISE NOTICE 'category ($1): %', category;
    RAISE NOTICE 'position ($2): %', _position;
    RAISE NOTICE 'batch_size ($3): %', coalesce(batch_size, 1000);
    RAISE NOTICE 'correlation ($4): %', correlation;
    RAISE NOTICE 'consumer_group_member ($5): %', consumer_group_member;
    RAISE NOTICE 'consumer_group_size ($6): %', consumer_group_size;
    RAISE NOTICE 'condition: %', condition;
    RAISE NOTICE 'Generated Command: %', _command;
  END IF;

  RETURN QUERY EXECUTE _command
    USING category, _position, _limit, correlation, consumer_group_member, consumer_group_size;
END
$function$;
