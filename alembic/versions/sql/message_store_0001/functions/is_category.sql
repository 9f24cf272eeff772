CREATE OR REPLACE FUNCTION {schema}.is_category(stream_name varchar)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(strpos(stream_name, '-') = 0, true);
