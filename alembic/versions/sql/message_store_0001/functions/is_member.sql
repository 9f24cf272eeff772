-- Whether a member of a consumer group reads a stream; true without a group. A stream without an id has no cardinal id;
-- its name takes the place of it, so that one member reads it. A CASE, because the planner estimates that it passes half
-- of the rows, and that a comparison passes almost none.
CREATE FUNCTION {schema}.is_member(stream_name varchar, member bigint, size bigint)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
  WHEN size IS NULL THEN true
  ELSE abs({schema}.hash_64(coalesce({schema}.cardinal_id(stream_name), stream_name)) % size) = member
END;
