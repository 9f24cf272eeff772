from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.contract.client import Client

MISSING = "Consumer group member and size must be specified"
SIZE_TOO_SMALL = "Consumer group size must not be less than 1"
MEMBER_TOO_SMALL = "Consumer group member must not be less than 0"
MEMBER_TOO_LARGE = "Consumer group member must be less than the group size"


@pytest.mark.parametrize(
    ("member", "size", "refusal"),
    [
        (0, None, f"{MISSING} (Consumer Group Member: 0, Consumer Group Size: <NULL>)"),
        (None, 1, f"{MISSING} (Consumer Group Member: <NULL>, Consumer Group Size: 1)"),
        (None, 0, f"{MISSING} (Consumer Group Member: <NULL>, Consumer Group Size: 0)"),
        (-1, None, f"{MISSING} (Consumer Group Member: -1, Consumer Group Size: <NULL>)"),
        (0, 0, f"{SIZE_TOO_SMALL} (Consumer Group Member: 0, Consumer Group Size: 0)"),
        (0, -1, f"{SIZE_TOO_SMALL} (Consumer Group Member: 0, Consumer Group Size: -1)"),
        (-1, 0, f"{SIZE_TOO_SMALL} (Consumer Group Member: -1, Consumer Group Size: 0)"),
        (-1, 1, f"{MEMBER_TOO_SMALL} (Consumer Group Member: -1, Consumer Group Size: 1)"),
        (1, 1, f"{MEMBER_TOO_LARGE} (Consumer Group Member: 1, Consumer Group Size: 1)"),
        (7, 3, f"{MEMBER_TOO_LARGE} (Consumer Group Member: 7, Consumer Group Size: 3)"),
    ],
)
def test_member_or_size_is_refused(
    client: Client, member: int | None, size: int | None, refusal: str
) -> None:
    with client.refused("invalid_consumer_group", refusal):
        client.read(
            "get_category_messages",
            "account",
            consumer_group_member=member,
            consumer_group_size=size,
        )
