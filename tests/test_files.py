from __future__ import annotations

from pathlib import Path

import pytest

from hts_classify.errors import DataError, UsageError
from hts_classify.files import claim, digest, read_json, whole, write_json


def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text("old")

    def stopped_half_way() -> None:
        with whole(path) as part:
            part.write_text("ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_damaged_json_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("{")
    with pytest.raises(DataError, match=r"run\.json: cannot be read"):
        read_json(path)


def test_a_folder_is_claimed_once(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    claim(path, {"seed": 0, "channels": ("DNA", "GFP")})
    claim(path, {"seed": 0, "channels": ("DNA", "GFP")})
    with pytest.raises(UsageError, match="holds another run: seed was 0 and is now 1"):
        claim(path, {"seed": 1, "channels": ("DNA", "GFP")})


def test_a_digest_is_of_content_not_of_names(tmp_path: Path) -> None:
    for name, text in {"a": "same", "b": "same", "c": "other"}.items():
        (tmp_path / name).write_text(text)
    a, b, c = (digest(tmp_path / name) for name in "abc")
    assert a == b != c


def test_json_is_the_same_bytes_whatever_the_order(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"x": 1, "y": 2})
    write_json(tmp_path / "b", {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
