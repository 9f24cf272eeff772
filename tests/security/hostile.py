"""What a role that may create in the schema `public` can put in the way of others.

PostgreSQL takes the function or operator that matches the types best, whichever schema of the
search path it is in. Its own take `text`, `anyarray` and the like, so one for exactly `varchar` or
`bigint[]` is called instead.
"""

from __future__ import annotations

import re
from pathlib import Path

import psycopg

_SQL = Path(__file__).parents[2] / "alembic" / "versions" / "sql"

_TYPES = [
    *(
        "text",
        "varchar",
        "name",
        "boolean",
        "integer",
        "bigint",
        "jsonb",
        "uuid",
        "oid",
        "regclass",
    ),
    *("regprocedure", "xid", "bit", "text[]", "varchar[]", "bigint[]"),
]

_OPERATORS = """
    SELECT DISTINCT oprname FROM pg_operator
    WHERE oprname = ANY ('{=,<>,<,>,<=,>=,||,->,->>,-,+,*,/,%,<<,|,~~}')
"""

# Whatever stands before a parenthesis in the revisions' SQL.
_NAMED = sorted(
    {
        name
        for file in _SQL.rglob("*.sql")
        for name in re.findall(r"(\w+)\(", file.read_text("utf-8"))
    }
)

PLANT = f"""
DO $do$
DECLARE
  _types constant text[] := '{{{",".join(_TYPES)}}}';
  _left text;
  _right text;
  _name text;
  _number integer;
BEGIN
  FOREACH _left IN ARRAY _types LOOP
    FOREACH _right IN ARRAY _types LOOP
      EXECUTE format(
        'CREATE FUNCTION public.taken(%s, %s) RETURNS boolean LANGUAGE plpgsql '
        'AS $$ BEGIN RAISE EXCEPTION ''taken by %%'', current_user; END $$',
        _left, _right
      );
      FOR _name IN {_OPERATORS} LOOP
        -- One like PostgreSQL's own is found behind that.
        CONTINUE WHEN EXISTS (
          SELECT FROM pg_operator
          WHERE oprname = _name AND oprleft = _left::regtype AND oprright = _right::regtype
        );
        EXECUTE format(
          'CREATE OPERATOR public.%s (LEFTARG = %s, RIGHTARG = %s, FUNCTION = public.taken)',
          _name, _left, _right
        );
      END LOOP;
    END LOOP;
  END LOOP;

  -- PostgreSQL's functions that the sources name, with arguments of every type.
  FOR _name, _number IN
    SELECT DISTINCT pg_proc.proname, pg_proc.pronargs
    FROM pg_proc
    WHERE pronamespace = 'pg_catalog'::regnamespace
      AND pronargs IN (1, 2, 3)
      AND prokind <> 'p'
      AND proname = ANY ('{{{",".join(_NAMED)}}}')
  LOOP
    FOREACH _left IN ARRAY _types LOOP
      FOREACH _right IN ARRAY CASE WHEN _number = 1 THEN '{{text}}' ELSE _types END LOOP
        CONTINUE WHEN _number = 3 AND _right NOT IN ('text', 'integer', 'boolean');
        EXECUTE format(
          'CREATE OR REPLACE FUNCTION public.%I(%s) RETURNS boolean LANGUAGE plpgsql '
          'AS $$ BEGIN RAISE EXCEPTION ''taken by %%'', current_user; END $$',
          _name,
          (ARRAY[_left, _left || ', ' || _right, _left || ', ' || _right || ', integer'])[_number]
        );
      END LOOP;
    END LOOP;
  END LOOP;
END
$do$
"""


def plant(connection: psycopg.Connection, role: str) -> None:
    """Have a role put functions and operators into the schema `public`, and a table `messages`."""
    connection.execute(f"GRANT CREATE ON SCHEMA public TO {role}".encode())
    connection.execute(f"SET ROLE {role}".encode())
    connection.execute(PLANT.encode())
    connection.execute("CREATE TABLE public.messages (stream_name text)")
    connection.execute("RESET ROLE")
