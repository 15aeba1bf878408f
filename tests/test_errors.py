from __future__ import annotations

import pickle

import pytest

from hts_classify import errors
from hts_classify.errors import FieldError, HTSError


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name.endswith("Error")])
def test_every_error_is_one_line_and_survives_a_worker(name: str) -> None:
    kind: type[HTSError] = getattr(errors, name)
    error = kind("dtype int32\nis not read", where="B03 field 1", remedy="convert to uint16")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == "B03 field 1: dtype int32 is not read; convert to uint16"
    assert again.exit_code in (1, 2)


def test_a_field_error_keeps_its_channel() -> None:
    error = pickle.loads(pickle.dumps(FieldError("chunk 0/0 missing", where="B03", channel="GFP")))
    assert (error.channel, error.what) == ("GFP", "chunk 0/0 missing")
