CREATE OR REPLACE FUNCTION {schema}.cardinal_id(stream_name varchar)
RETURNS varchar
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN split_part({schema}.id(stream_name), '+', 1);
