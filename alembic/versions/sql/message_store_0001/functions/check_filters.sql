CREATE FUNCTION {schema}.check_filters(
  correlation varchar,
  consumer_group_member bigint,
  consumer_group_size bigint
)
RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $function$
DECLARE
  _problem text;
BEGIN
  IF NOT {schema}.is_category(correlation) THEN
    RAISE EXCEPTION 'Correlation must be a category (Correlation: %)', correlation
      USING
        CONSTRAINT = 'invalid_correlation',
        SCHEMA = {schema_name},
        DETAIL = json_build_object('correlation', correlation)::text;
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
      USING
        CONSTRAINT = 'invalid_consumer_group',
        SCHEMA = {schema_name},
        DETAIL = json_build_object('member', consumer_group_member, 'size', consumer_group_size)::text;
  END IF;
END
$function$;
