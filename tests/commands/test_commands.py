from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from hts_classify.commands import main
from hts_classify.commands.cnn import varied
from hts_classify.models.settings import Augmentation, CnnSettings, Learning
from hts_classify.run import RunSettings


def modules_of(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after some code."""
    script = f"import sys\n{code}\nprint(*{{m.partition('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


HEAVY = {"torch", "torchvision", "dask", "sklearn", "zarr", "h5py", "pandas", "scipy", "jinja2"}


@pytest.mark.parametrize(
    "code",
    [
        "import hts_classify",
        "from hts_classify.commands import main\nmain(['--help'])",
        "from hts_classify.commands import main\nmain(['predict', '--help'])",
    ],
)
def test_help_and_import_load_no_large_library(code: str) -> None:
    assert not modules_of(code) & HEAVY


def test_a_plate_is_short_for_run_but_a_commands_name_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "info").mkdir()
    assert main(["nowhere.zarr", "--target", "moa"]) == 1
    assert "nowhere.zarr" in capsys.readouterr().err
    assert main(["info", "nowhere.zarr"]) == 1
    assert main(["info"]) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "COMMAND; see hts-classify --help"),
        (["--verbose"], 2, "no flag is called --verbose; see hts-classify run --help"),
        (["run"], 2, "--target; see hts-classify run --help"),
        (["run", "--netwrk", "x"], 2, "--netwrk; see hts-classify run --help"),
        (["{plate}", "--tarqet", "moa"], 2, "--tarqet; try --target, or see"),
        (["{plate}", "--target"], 2, "--target: expected one argument; see hts-classify run"),
        (["{plate}", "--target", "moa", "--folds", "few"], 2, "--folds: invalid int value: 'few'"),
        (["{plate}", "--c", "moa"], 2, "--c could match --crops"),
        (["info", "--kernels", "-q"], 2, "unknown argument '-q'; see hts-classify info --help"),
        (["demo", "{plate}"], 2, "tiny.zarr'; see hts-classify demo --help"),
        (["{plate}"], 2, "--target"),
        (["{plate}", "--target", "moa"], 2, "moa"),
        (["{plate}", "--target", "phenotype", "--split", "field"], 2, "fields of one well"),
        (["{plate}", "--target", "phenotype", "--compound-column", "drug"], 2, "drug"),
        (["{plate}", "--target", "phenotype", "--platemap", "no.csv"], 1, "no.csv"),
        (["{plate}", "--target", "phenotype", "--channels", "DNA"], 2, "DNA"),
        (
            ["{plate}", "--target", "phenotype", "--use-channels", "DNA,Actin"],
            2,
            "no channel 'Actin'",
        ),
        (["{plate}/A", "--target", "phenotype"], 1, "plate"),
        (["{image}", "--target", "phenotype"], 1, "plate"),
        (["{empty}", "--target", "phenotype"], 1, "zarr"),
        (["run", "{nothing}", "--target", "phenotype"], 1, "exist"),
        (["{plate}", "--target", "phenotype", "-o", "{foreign}"], 2, "is not empty"),
        (["{plate}", "--target", "phenotype", "-o", "{file}"], 2, "is not a folder"),
        (["{plate}", "--target", "phenotype", "-o", "{file}/sub"], 1, "Not a directory"),
        (["{plate}", "--target", "phenotype", "--seed", "-1"], 2, "--seed -1"),
        (["--target", "phenotype", "{plate}", "--folds", "1"], 2, "--folds 1"),
        (["{plate}", "--target", "phenotype", "--repeats", "0"], 2, "--repeats 0; ask for 1"),
        (["bogus"], 1, "neither a plate nor a command"),
        (["demo", "-o", "{foreign}"], 2, "is not empty"),
        (["demo", "-o", "{empty}", "--seed", "-1"], 2, "seed -1"),
        (["predict", "{empty}", "{plate}", "-o", "{nothing}"], 1, "models"),
        (["synthetic", "{nothing}", "--setting", "galaxies"], 2, "galaxies"),
        (["{plate}", "--target", "phenotype", "--cnn", "lenet"], 2, "lenet"),
        (["{plate}", "--target", "phenotype", "--device", "gpu"], 2, "'gpu'; use auto, cpu"),
        (["{plate}", "--target", "phenotype", "--device", "cuda:99"], 2, "use "),
        (["{plate}", "--target", "phenotype", "--augment", "zoom"], 2, "'zoom': use turns, "),
        (["{plate}", "--target", "phenotype", "--augment", "zoom=2"], 2, "zoom is 2.0"),
        (["{plate}", "--target", "phenotype", "--augment", "turns=1"], 2, "'turns=1'"),
        (["{plate}", "--target", "phenotype", "--batch", "1"], 2, "--batch is 1; give"),
        (["{plate}", "--target", "phenotype", "--cache-mib", "-1"], 2, "--cache-mib is -1; give"),
        (["{plate}", "--target", "phenotype", "--weights", "imagenet"], 2, "ImageNet weights"),
        (["{plate}", "--target", "phenotype", "--weights", "{nothing}"], 2, "no such file"),
        (["{plate}", "--target", "phenotype", "--tune", "head"], 2, "without weights"),
        (["{plate}", "--target", "phenotype", "--cnn", "inception_v3"], 1, "--enlarge"),
        (["predict", "{empty}", "{plate}", "-o", "{nothing}", "--device", "cpu,cpu"], 2, "cpu,cpu"),
    ],
)
def test_bad_input_is_one_line_with_its_exit_code(
    tiny_plate: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    for name in ("empty", "foreign"):
        (tmp_path / name).mkdir()
    (tmp_path / "foreign" / "notes.txt").touch()
    (tmp_path / "file").touch()
    image = next(iter(sorted(tiny_plate.glob("*/*/0"))))
    places = {
        "plate": tiny_plate,
        "image": image,
        **{name: tmp_path / name for name in ("empty", "foreign", "nothing", "file")},
    }
    assert main([argument.format(**places) for argument in arguments]) == code
    captured = capsys.readouterr()
    line = captured.err.strip().splitlines()[-1]
    assert said in line
    assert line.startswith("hts-classify: ")
    assert "Traceback" not in captured.err
    assert "usage:" not in captured.err + captured.out


def test_a_value_that_looks_like_a_flag_is_not_taken_for_one(
    tiny_plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [str(tiny_plate), "--target=--moa", "--split", "--no such unit", "--fold", "3"]
    settings = asked(words, monkeypatch)
    assert (settings.target, settings.split, settings.folds) == ("--moa", "--no such unit", 3)


@pytest.mark.filterwarnings("default")
def test_wells_that_the_plate_lacks_are_a_warning(
    tiny_plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    platemap = pd.read_csv(tiny_plate.with_name("tiny.platemap.csv"), dtype=str)
    extra = platemap.iloc[:2].assign(well=["P23", "P24"])
    pd.concat([platemap, extra]).to_csv(tmp_path / "map.csv", index=False)
    arguments = ["--platemap", str(tmp_path / "map.csv"), "--split", "orbit"]
    assert main([str(tiny_plate), "--target", "phenotype", *arguments]) == 2
    (warning,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert "2" in warning
    assert "P23" in warning


def test_info_reads_no_pixels(tiny_plate: Path, tmp_path: Path) -> None:
    plate = tmp_path / "noise.zarr"
    shutil.copytree(tiny_plate, plate)
    for chunk in plate.glob("*/*/*/*/c/*/0/0"):
        chunk.write_bytes(b"no zstd at all")
    assert main(["info", str(plate)]) == 0


def test_info_names_the_kernels_and_the_one_that_is_used(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["info", "--kernels"]) == 0
    assert re.search(r"kernels +scalar, u64.*\nused +\w+\n", capsys.readouterr().out)
    monkeypatch.setenv("HTS_CLASSIFY_KERNEL", "u64")
    assert main(["info", "--kernels"]) == 0
    assert re.search(r"used +u64\n", capsys.readouterr().out)
    monkeypatch.setenv("HTS_CLASSIFY_KERNEL", "mmx")
    assert main(["info", "--kernels"]) == 2
    assert "HTS_CLASSIFY_KERNEL: no TAS kernel 'mmx'" in capsys.readouterr().err
    assert main(["info", "plate.zarr", "--kernels"]) == 2


def test_synthetic_plates_are_ready_to_classify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plate = tmp_path / "made.h5"
    options = ["--setting", "texture", "--format", "hdf5", "--channels", "DNA,ER,RNA"]
    assert main(["synthetic", str(plate), *options, "--dtype", "uint8", "--size", "96"]) == 0
    assert capsys.readouterr().out.strip() == f"hts-classify {plate} --target phenotype"
    assert main(["info", str(plate)]) == 0
    said = capsys.readouterr().out
    assert "HDF5" in said
    assert "DNA, ER, RNA" in said
    assert "96 × 96 uint8" in said


def test_exit_3_says_that_fields_were_left_out(
    tiny_plate: Path, tiny_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plate = tmp_path / "holed.zarr"
    shutil.copytree(tiny_plate, plate)
    next(iter(sorted(plate.glob("*/*/0/0/c/0/0/0")))).unlink()
    out = tmp_path / "calls"
    assert main(["predict", str(tiny_run / "models"), str(plate), "-o", str(out)]) == 3
    captured = capsys.readouterr()
    assert f"1 field was left out; {out}/failures.csv says why" in captured.err
    assert "12 wells called two ways" in captured.out
    assert len(pd.read_csv(out / "predictions.csv")) == 2 * (23 + 12)


def test_a_run_that_lost_a_field_ends_with_exit_3(
    tiny_plate: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plate = tmp_path / "tiny.zarr"
    shutil.copytree(tiny_plate, plate)
    shutil.copy(tiny_plate.with_name("tiny.platemap.csv"), tmp_path)
    next(iter(sorted(plate.glob("*/*/0/0/c/0/0/0")))).unlink()
    quick = ["--steps", "4", "--epochs", "1"]  # it matters that it ends, not how well it learns
    assert main([str(plate), "--target", "phenotype", *quick]) == 3
    assert "1 field was left out" in capsys.readouterr().err
    assert (tmp_path / "tiny-hts" / "report.html").exists()


FLAGS = (
    "--cnn mobilenet_v2 --weights imagenet --tune last --scaling percentile --enlarge 96"
    " --augment turns,zoom=0.1,rotation=180 --epochs 3 --steps 7 --batch 8 --learning-rate 0.01"
    " --weight-decay 0.2 --trials 4 --schedule onecycle --balance sampling --no-refit --no-views"
    " --precision float32 --compile --cache-mib 9 --device cpu,cpu --aggregate median --proba"
    " --tile-size 96"
)


def asked(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> RunSettings:
    """Return what a command asks of the job."""
    found: list[RunSettings] = []

    def run(_plates: object, settings: RunSettings, **_options: object) -> None:
        found.append(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["hts_classify.run"], "run", run)
    assert main(arguments) == 130
    return found[0]


def test_every_flag_of_the_cnn_sets_something(
    tiny_plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = asked([str(tiny_plate), "--target", "phenotype", *FLAGS.split()], monkeypatch)
    learning = Learning(
        epochs=3,
        steps=7,
        batch=8,
        learning_rate=0.01,
        weight_decay=0.2,
        trials=4,
        schedule="onecycle",
        balance="sampling",
        refit=False,
    )
    assert settings.cnn == CnnSettings(
        network="mobilenet_v2",
        weights="imagenet",
        tune="last",
        scaling="percentile",
        enlarge=96,
        augmentation=Augmentation(zoom=0.1, rotation=180),
        views=False,
        precision="float32",
        compile=True,
        cache_mib=9,
        learning=learning,
    )
    assert settings.device == "cpu,cpu"
    assert (settings.aggregate, settings.proba, settings.tile_size) == ("median", True, 96)


def test_without_flags_the_cnn_is_as_its_settings_are(
    tiny_plate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = asked([str(tiny_plate), "--target", "phenotype"], monkeypatch)
    assert settings == RunSettings(target="phenotype", columns=settings.columns)


def test_help_says_how_tiles_are_varied_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the CNN:" in said
    (default,) = re.findall(r"crop; default: (\S+)\)", said)
    assert varied(default) == Augmentation()


def test_an_interrupt_is_exit_130(
    tiny_plate: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["hts_classify.run"], "run", interrupted)
    assert main([str(tiny_plate), "--target", "phenotype"]) == 130
    assert "goes on where it stopped" in capsys.readouterr().err


def test_the_real_plate_of_the_readme(shared_data: Path, tmp_path: Path) -> None:
    """BBBC013, one compound left out at a time; it may take 20 s, as both paths really learn.

    The CNN learns for 40 steps, not 300: enough for 23 of 24 wells.
    """
    folder = shared_data / "bbbc013"
    arguments = ["--platemap", str(folder / "platemap.csv"), "--target", "phenotype"]
    out = tmp_path / "run"
    options = ["--split", "compound", "--channels", "GFP,DNA", "-o", str(out)]
    options += ["--steps", "40", "--epochs", "1"]
    assert main([str(folder / "plate_v04.ome.zarr"), *arguments, *options]) == 0
    comparison = json.loads((out / "comparison.json").read_text())
    for result in comparison["paths"].values():
        assert result["total"] == 24
        assert result["correct"] >= 20
    assert comparison["inner_units"] == ["well"]
    assert {place["place"] for place in comparison["positions"] if place["separates"]} == {"column"}
    assert "smoke test" in (out / "report.html").read_text()
    table = pd.read_csv(out / "predictions.csv")
    counts = table[table["Role"] == "unlabelled"].groupby(["Path", "Level"]).size().unstack()
    # nine doses of each compound are not controls
    assert (counts[["field", "well", "treatment"]] == [72, 72, 18]).all().all()
