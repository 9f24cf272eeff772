CREATE OR REPLACE FUNCTION {schema}.lock_granularity()
RETURNS varchar
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS 'SELECT ''category''';
