"""The plug-ins as files: installed whole, and holding what CellProfiler looks for."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from hts_classify.cellprofiler import install, plugins
from hts_classify.commands import main
from hts_classify.errors import UsageError


def test_the_command_copies_the_plugins_and_says_where_to_name_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cellprofiler-plugin", "--install", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    for plugin in plugins():
        assert (tmp_path / plugin.name).read_bytes() == plugin.read_bytes()
        assert str(tmp_path / plugin.name) in said
    assert f"--plugins-directory {tmp_path}" in said
    assert "pip install --no-deps hts_classify" in said
    assert len(list(tmp_path.iterdir())) == 2


def test_earlier_copies_are_replaced_and_other_files_left(tmp_path: Path) -> None:
    (tmp_path / "measurethresholdadjacency.py").write_text("old")
    (tmp_path / "runcellpose.py").write_text("other")
    install(tmp_path)
    assert "class MeasureThresholdAdjacency" in (
        tmp_path / "measurethresholdadjacency.py"
    ).read_text("utf-8")
    assert (tmp_path / "runcellpose.py").read_text() == "other"


def test_a_folder_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["cellprofiler-plugin", "--install", str(tmp_path / "plugins")]) == 2
    said = capsys.readouterr().err
    assert "no such folder; make it" in said
    assert not (tmp_path / "plugins").exists()
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is not a folder"):
        install(tmp_path / "file")


def test_without_a_folder_the_command_says_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["cellprofiler-plugin"]) == 2
    assert "--install" in capsys.readouterr().err


@pytest.mark.parametrize("plugin", plugins(), ids=lambda path: path.stem)
def test_each_plugin_holds_a_module_of_its_files_name(plugin: Path) -> None:
    tree = ast.parse(plugin.read_text("utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert [one.name.lower() for one in classes] == [plugin.stem]
    names = {node.name for node in classes[0].body if isinstance(node, ast.FunctionDef)}
    assert {"create_settings", "settings", "run", "display", "get_measurement_columns"} <= names
