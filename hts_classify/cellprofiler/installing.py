"""Put the plug-ins where CellProfiler looks for them."""

from __future__ import annotations

from pathlib import Path

from ..errors import UsageError
from ..files import whole

__all__ = ["install", "plugins"]


def plugins() -> tuple[Path, ...]:
    """Return the plug-in files that this package brings, by name.

    Examples
    --------
    >>> [path.name for path in plugins()]
    ['classifyimageshts.py', 'measurethresholdadjacency.py']
    """
    return tuple(sorted((Path(__file__).parent / "plugins").glob("*.py")))


def install(folder: str | Path) -> list[Path]:
    """Copy the plug-ins into a folder, in place of earlier ones of their names.

    Parameters
    ----------
    folder : path
        CellProfiler's plug-ins directory.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    UsageError
        When there is no such folder.

    Examples
    --------
    >>> import tempfile
    >>> [path.name for path in install(tempfile.mkdtemp())]
    ['classifyimageshts.py', 'measurethresholdadjacency.py']
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(
            "is not a folder" if folder.exists() else "no such folder",
            where=str(folder),
            remedy="make it, or name the folder that CellProfiler's preferences call the plug-ins"
            " directory",
        )
    made = []
    for plugin in plugins():
        with whole(folder / plugin.name) as part:
            part.write_bytes(plugin.read_bytes())
        made.append(folder / plugin.name)
    return made
