"""An error that a trigger of the application's raises is not taken for one of the store's."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from mdb_sqla import Message, MessageStoreError

TRIGGER = """
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'no' USING CONSTRAINT = 'data_exists', SCHEMA = 'public', DETAIL = 'not JSON';
END
$$
"""


def test_a_kind_of_ours_with_another_detail(flavour: Any) -> None:
    with flavour.connection() as connection:
        for statement in (
            TRIGGER,
            "CREATE TRIGGER refuse BEFORE INSERT ON message_store.messages "
            "FOR EACH ROW EXECUTE FUNCTION public.refuse()",
        ):
            flavour.run(connection.exec_driver_sql(statement))
        with pytest.raises(DBAPIError, match="no") as raised:
            flavour.run(flavour.store(connection).write("a-1", Message("T")))
        flavour.run(connection.rollback())
    assert not isinstance(raised.value, MessageStoreError)
