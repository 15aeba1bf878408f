"""Commands as schedulers take them: lines, array jobs of Slurm and Grid Engine, GNU parallel.

An array job has the commands in itself, a line each, and every task of it runs the line of its own
number, so that the script is all that is needed. What merges looks at the parts itself, so that it
may follow also where tasks ended with 3 because fields were left out.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Final, Literal

from ..files import digest

__all__ = ["FORMATS", "script"]

FORMATS: Final = ("lines", "slurm", "sge", "parallel")

_ARRAY: Final = """\
#!/bin/bash
{directives}
# {submit}
# Task by task; what is done is not done twice, so that any of them can be run again.
command=$(sed -n "${{{number}}}p" <<'COMMANDS'
{commands}
COMMANDS
)
exec bash -c "$command"
"""

_SLURM: Final = """\
#SBATCH --job-name=hts-classify
#SBATCH --array=1-{count}
#SBATCH --output=hts-classify-%A_%a.out"""

_SGE: Final = """\
#$ -S /bin/bash
#$ -cwd
#$ -V
#$ -N hts-{name}
#$ -t 1-{count}"""

_PARALLEL: Final = """\
#!/bin/bash
# Run it as often as need be: it goes on with what failed and what was not begun.
# As many at a time as there are cores; -j, --sshlogin and others go into PARALLEL.
export PARALLEL_SHELL=/bin/bash
mkdir -p {folder}
parallel --joblog {log} --resume-failed <<'COMMANDS'
{commands}
COMMANDS
{merge}
"""


def script(
    form: Literal["lines", "slurm", "sge", "parallel"],
    commands: Sequence[str],
    merge: str,
    *,
    out: str,
) -> str:
    """Return what is to be run, or given to a scheduler.

    Parameters
    ----------
    form : {"lines", "slurm", "sge", "parallel"}
    commands : sequence of str
        One a part, quoted for a shell.
    merge : str
        The command that joins them.
    out : str
        The folder of the whole.

    References
    ----------
    Slurm: sbatch, `--array`. Grid Engine: qsub, `-t`. O. Tange, GNU Parallel, ;login: 2011,
    36(1):42.

    Examples
    --------
    >>> print(script("lines", ["hts-classify extract p.zarr"], "hts-classify merge o", out="o"),
    ...       end="")
    hts-classify extract p.zarr
    hts-classify merge o
    """
    lines, name = "\n".join(commands), digest(list(commands))[:8]
    if form == "lines":
        return f"{lines}\n{merge}\n"
    if form == "parallel":
        # GNU parallel knows commands by their place alone: others get a log of their own.
        log = f"{out}/parts/joblog-{name}.tsv"
        return _PARALLEL.format(
            folder=shlex.quote(f"{out}/parts"), log=shlex.quote(log), commands=lines, merge=merge
        )
    if form == "slurm":
        submit = (
            "job=$(sbatch --parsable THIS_FILE) &&"
            f" sbatch --dependency=afterany:$job --wrap {shlex.quote(merge)}"
        )
        directives, number = _SLURM, "SLURM_ARRAY_TASK_ID"
    else:
        submit = f"qsub THIS_FILE && qsub -hold_jid hts-{name} -cwd -V -b y {merge}"
        directives, number = _SGE, "SGE_TASK_ID"
    return _ARRAY.format(
        directives=directives.format(count=len(commands), name=name),
        submit=submit,
        number=number,
        commands=lines,
    )
