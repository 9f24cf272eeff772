-- Whether a member of a consumer group reads a stream; true where there is no group. A stream without
-- an id has no cardinal id; its name stands in, so that one member reads it. The outer coalesce() also
-- keeps the planner from taking this for a filter that lets next to nothing through.
CREATE FUNCTION {schema}.is_member(stream_name varchar, member bigint, size bigint)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN coalesce(
  abs({schema}.hash_64(coalesce({schema}.cardinal_id(stream_name), stream_name)) % size) = member,
  true
);
