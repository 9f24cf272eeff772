from __future__ import annotations

import pytest

from mdb_sqla.words.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 s"),
        (0, "0 s"),
        (0.0001, "0 s"),
        (0.25, "250 ms"),
        (0.9999, "1 s"),
        (3, "3 s"),
        (59.6, "1 min"),
        (125, "2 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (4 * 3600 + 59, "4 h"),
        (90_061, "1 d 1 h"),
        (86_460, "1 d"),
        (86_400 * 1234, "1,234 d"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
