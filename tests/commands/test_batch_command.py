"""The commands that `batch` prints do the whole job, whoever runs them and whatever dies."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from hts_classify import extract, open_plate
from hts_classify.commands import main

CALL = "from hts_classify.commands import console; console()"

DIES_ONCE = """\
#!/bin/bash
# The command; where $DIES is among its words it is killed once, when it begins.
real() {{ exec {python} -c {call} "$@"; }}
if [[ -n "$DIES" && "$*" == *"$DIES"* && ! -e died ]]; then
    real "$@" &
    until [[ -e $DIES/features/pass.json ]]; do sleep 0.005; done
    touch died
    kill -9 $!
    kill -9 $$
fi
real "$@"
"""
CROPS = ["--crops", "grid", "--crop-size", "16"]
ECHO = "#!/bin/bash\nprintf '%s\\n' hts-classify \"$@\"\n"


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, where `hts-classify` is this package's and may be killed once."""
    program = tmp_path / "bin" / "hts-classify"
    program.parent.mkdir()
    program.write_text(DIES_ONCE.format(python=shlex.quote(sys.executable), call=shlex.quote(CALL)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DIES", "")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def batch(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Return what `batch` prints."""
    assert main(["batch", *words]) == 0
    return capsys.readouterr().out


def sh(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=os.environ | environment
    )


def files(out: Path) -> Mapping[str, bytes]:
    """Return all files but the parts and the timings."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
        and path.name != "timings.json"
        and path.relative_to(out).parts[0] != "parts"
    }


def test_printed_commands_of_which_one_is_killed_make_one_pass(
    shell: Path, tiny_plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tiny_plate), "-o", "out", "--images-per-batch", "11", "--tile-size", "32,16"]
    *commands, merging = batch(capsys, *words).splitlines()
    assert commands[1] == (
        f"hts-classify extract {tiny_plate} --tile-size 32,16 -f 12 -l 22 -o out/parts/00012-00022"
    )
    assert len(commands) == 3
    assert merging == "hts-classify merge out"
    dies = "out/parts/00012-00022"
    running = [
        subprocess.Popen(["bash", "-c", f"exec {command}"], env=os.environ | {"DIES": dies})
        for command in commands[:2]
    ]  # the third is never run
    assert [process.wait() for process in running] == [0, -9]
    assert main(shlex.split(merging)[1:]) == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[-2:] == commands[1:]
    assert "13 of 24 image sets are missing, damaged or have changed: 12-24" in said.err
    assert f"run again: {commands[1]}" in said.err
    assert "Traceback" not in said.err
    for command in commands[1:]:
        assert main(shlex.split(command)[1:]) == 0
    assert main(shlex.split(merging)[1:]) == 0
    plate = open_plate(tiny_plate)
    assert main(["extract", str(tiny_plate), "-o", "one", "--tile-size", "32,16"]) == 0
    assert files(shell / "out") == files(shell / "one")
    assert len(files(shell / "out")) == 2 * len(plate.fields) + len(plate.wells) + 3 + 4


@pytest.mark.parallel
@pytest.mark.skipif(not shutil.which("parallel"), reason="GNU parallel is absent")
def test_gnu_parallel_runs_what_is_printed_and_goes_on_after_a_kill(
    shell: Path, tiny_plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tiny_plate), "-o", "out", "--images-per-batch", "18", "--format", "parallel"]
    Path("jobs.sh").write_text(batch(capsys, *words))
    first = sh("bash jobs.sh", DIES="out/parts/00001-00018")
    assert Path("died").exists(), first.stderr
    assert first.returncode == 1
    assert "of 24 image sets are missing" in first.stderr
    assert first.stdout.splitlines()[-1].endswith("--workers 1 -f 1 -l 18 -o out/parts/00001-00018")
    (log,) = Path("out/parts").glob("joblog-*.tsv")
    begun = len(log.read_text().splitlines())
    second = sh("bash jobs.sh", DIES="out/parts/00001-00018")
    assert second.returncode == 0, second.stderr
    assert len(log.read_text().splitlines()) == begun + 1  # the others are not run again
    extract(open_plate(tiny_plate), shell / "one")
    assert files(shell / "out") == files(shell / "one")


@pytest.mark.parametrize(
    ("form", "number", "directive"),
    [
        ("slurm", "SLURM_ARRAY_TASK_ID", "#SBATCH --array=1-3"),
        ("sge", "SGE_TASK_ID", "#$ -t 1-3"),
    ],
)
def test_a_task_of_an_array_job_runs_the_command_of_its_number(
    shell: Path,
    tiny_plate: Path,
    capsys: pytest.CaptureFixture[str],
    form: str,
    number: str,
    directive: str,
) -> None:
    plate = shell / "it's a $plate.zarr"
    plate.symlink_to(tiny_plate)
    script = batch(capsys, str(plate), "-o", "my out", "--images-per-batch", "10", "--format", form)
    head = script.partition("\ncommand=")[0].splitlines()
    assert head[0] == "#!/bin/bash"
    assert directive in head
    words = shlex.split(next(line for line in head if "merge" in line)[1:])
    merging = shlex.split(words[-1]) if form == "slurm" else words[-3:]
    assert merging == ["hts-classify", "merge", "my out"]
    assert all(line.startswith("#") for line in head)
    (shell / "bin" / "hts-classify").write_text(ECHO)
    done = sh(script, **{number: "3"})
    assert done.stdout.splitlines() == [
        *("hts-classify", "extract", str(plate), "-f", "21", "-l", "24"),
        *("-o", "my out/parts/00021-00024"),
    ]


def test_groups_are_a_command_each_and_done_files_have_their_names(
    shell: Path, tiny_plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-i", str(tiny_plate), "-o", "out", "--group-by", "Metadata_Plate,Well", "-d", "done"]
    lines = batch(capsys, *words, "--always-continue", "--features", "tas", "-L", "30").splitlines()
    wells = open_plate(tiny_plate).wells
    name = open_plate(tiny_plate).name
    assert len(lines) == len(wells) + 1
    assert lines[0] == (
        f"hts-classify extract -i {tiny_plate} --always-continue --features tas -L 30"
        f" -d done/{name}-{wells[0]} -g Metadata_Plate={name},Metadata_Well={wells[0]}"
        f" -o out/parts/{name}-{wells[0]}"
    )
    assert main(shlex.split(lines[0])[1:]) == 0
    assert Path(f"done/{name}-{wells[0]}").read_text() == "Complete\n"


def test_a_plate_behind_a_double_dash_stays_behind_what_chooses_the_part(
    shell: Path, tiny_plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shell / "-p.zarr").symlink_to(tiny_plate)
    words = ["--images-per-batch", "2", "-d", "done", "-o", "out", "--features", "tas"]
    first = batch(capsys, *words, "--", "-p.zarr").partition("\n")[0]
    assert main(shlex.split(first)[1:]) == 0
    assert "2 fields of 1 plate in out/parts/00001-00002" in capsys.readouterr().out
    assert Path("done/00001-00002").read_text() == "Complete\n"


def test_parts_end_between_wells_where_crops_are_asked_for(
    shell: Path, tiny_plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["batch", str(tiny_plate), "-o", "out", "--images-per-batch", "5"]
    assert main([*arguments, "--crops", "grid", "--crop-size", "16"]) == 0
    said = capsys.readouterr()
    assert "parts end between wells" in said.err
    assert re.findall(r"-f (\d+) -l (\d+)", said.out)[:2] == [("1", "4"), ("5", "8")]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{plate}", "--images-per-batch", "0"], 2, "0 images a batch"),
        (["{plate}", "--group-by", "Dose"], 2, "no Dose; they have Metadata_Plate"),
        (["{plate}", "--group-by", "Well", "--images-per-batch", "3"], 2, "one way or the other"),
        (["{plate}", "--retry-failed"], 2, "no flag is called --retry-failed"),
        (["{plate}", "--first-image-set", "3"], 2, "no flag is called --first-image-set"),
        (["{plate}", "--group-by", "Site", *CROPS], 2, "cut well A02"),
        (["{plate}", "--crops", "grid"], 2, "4 crops of 64 pixels along 64"),
        (["no.zarr"], 1, "does not exist"),
        ([], 2, "no plates"),
    ],
)
def test_bad_calls_print_no_command_and_leave_nothing(
    shell: Path,
    tiny_plate: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    filled = [word.format(plate=tiny_plate) for word in arguments]
    assert main(["batch", *filled, "-o", "out"]) == code
    said = capsys.readouterr()
    assert words in said.err
    assert not said.out
    assert not Path("out").exists()


def test_other_commands_do_not_go_into_a_folder_with_parts(
    shell: Path, tiny_plate: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = batch(capsys, str(tiny_plate), "-o", "out", "--images-per-batch", "20").splitlines()
    assert main(shlex.split(lines[1])[1:]) == 0
    assert main(["batch", str(tiny_plate), "-o", "out", "--images-per-batch", "6"]) == 2
    assert "holds parts of other commands: 00021-00024" in capsys.readouterr().err
    again = batch(capsys, str(tiny_plate), "-o", "out", "--images-per-batch", "20").splitlines()
    assert again == lines
