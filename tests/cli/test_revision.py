"""What `mdb revision` can't write a revision for."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config

from mdb_sqla.cli import main


def refusal(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main(["revision", "--config", str(folder / "alembic.ini")])
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_folder_without_alembic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"there is no {tmp_path / 'alembic.ini'}" in refusal(tmp_path, capsys)


def test_a_history_with_two_heads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = Config(tmp_path / "alembic.ini")
    command.init(config, str(tmp_path / "migrations"))
    for name in ("one", "two"):
        command.revision(Config(tmp_path / "alembic.ini"), message=name, head="base")

    assert "Multiple heads" in refusal(tmp_path, capsys)
    assert len([*(tmp_path / "migrations" / "versions").glob("*.py")]) == 2


def test_a_template_without_a_place_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command.init(Config(tmp_path / "alembic.ini"), str(tmp_path / "migrations"), "multidb")

    assert 'migrations.upgrade("0005")' in refusal(tmp_path, capsys)
    assert [*(tmp_path / "migrations" / "versions").glob("*.py")] == []
