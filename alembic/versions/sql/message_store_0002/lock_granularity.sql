-- What a writer locks: `category` or `stream`. A constant, so that it costs nothing where it is inlined.
-- Its text is read by granularity_of_snapshot().
CREATE FUNCTION {schema}.lock_granularity()
RETURNS varchar
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $function$SELECT 'category'$function$;
