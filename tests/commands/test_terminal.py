from __future__ import annotations

import re
import sys

import pytest

from hts_classify.commands.terminal import TerminalProgress


def test_a_log_has_a_line_for_each_finished_stage(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress()
    with progress.stage("reading", 36, "fields") as advance:
        advance(20, 1000)
        advance(16, 800)
        assert capsys.readouterr().err == ""
    assert re.fullmatch(r"reading: 36 fields in 0\.\d s\n", capsys.readouterr().err)
    with progress.stage("CNN, fold 1", 100) as advance:
        advance(99)
    captured = capsys.readouterr()
    assert re.fullmatch(r"CNN, fold 1: 0\.\d s\n", captured.err)
    assert captured.out == ""


def test_a_stage_that_failed_is_not_called_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), TerminalProgress().stage("reading", 3, "fields"):
        raise KeyboardInterrupt
    assert capsys.readouterr().err == ""


def test_a_stage_says_what_was_done_now(capsys: pytest.CaptureFixture[str]) -> None:
    """A run that goes on has read the rest before."""
    with TerminalProgress().stage("reading", 36, "fields") as advance:
        advance(4)
    assert "reading: 4 fields in" in capsys.readouterr().err


def test_a_terminal_has_a_bar_and_no_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with TerminalProgress().stage("reading", 4, "fields") as advance:
        advance(4)
    said = capsys.readouterr().err
    assert "4/4" in said
    assert "4 fields in" not in said
