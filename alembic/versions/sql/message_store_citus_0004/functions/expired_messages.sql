CREATE OR REPLACE FUNCTION {schema}.expired_messages(
  category varchar,
  older_than timestamp,
  keep_last bigint,
  up_to bigint,
  after bigint,
  batch_size bigint,
  counting boolean DEFAULT false,
  OUT number bigint,
  OUT global_positions bigint[],
  OUT first_global_position bigint,
  OUT last_global_position bigint,
  OUT first_time timestamp,
  OUT last_time timestamp,
  OUT scanned bigint
)
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $function$
BEGIN
  PERFORM {schema}.refuse_on_citus(
    'retention', 'the next message of a category follows its last one, so that one must stay'
  );
END
$function$;
