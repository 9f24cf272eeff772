-- Whether a member of a consumer group reads a stream; true where there is no group. A stream without
-- an id has no cardinal id; its name stands in, so that one member reads it. A CASE, for the planner
-- takes it to let half of the rows through, and a comparison to let next to none.
CREATE FUNCTION {schema}.is_member(stream_name varchar, member bigint, size bigint)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN size IS NULL THEN true
  ELSE abs({schema}.hash_64(coalesce({schema}.cardinal_id(stream_name), stream_name)) % size) = member
END;
