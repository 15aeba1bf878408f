"""Where the files of an image list are: paths of this machine, and URLs.

What a cell says is CellProfiler's: paths with either slash, `file:` URLs with `%20`, and other
URLs as they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Final
from urllib.parse import unquote

from ..errors import DataError

__all__ = ["is_url", "locate"]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")
"""Of two letters or more: one is a drive of Windows."""
_ELSEWHERE: Final = re.compile(r"[A-Za-z]:|\\\\")


def is_url(place: str) -> bool:
    """Tell what `locate` returned apart.

    Examples
    --------
    >>> is_url("s3://screens/x.tif"), is_url("C:/screens/x.tif")
    (True, False)
    """
    return "://" in place


def locate(said: Mapping[str, str], folder: str) -> str:
    r"""Return the path or URL of a file.

    Parameters
    ----------
    said : mapping
        What a row says of it: FileName and PathName, or URL.
    folder : str
        Folder or URL where relative paths begin.

    Raises
    ------
    DataError
        For URLs that cannot be read, and for paths of another machine's drive.

    Examples
    --------
    >>> locate({"FileName": "x y.tif", "PathName": "img"}, "/screen")
    '/screen/img/x y.tif'
    >>> locate({"URL": "file:///screen/x%20y.tif"}, "/here")
    '/screen/x y.tif'
    >>> locate({"FileName": "x.tif", "PathName": "s3://screen/img/"}, "/here")
    's3://screen/img/x.tif'
    """
    name, path = said.get("FileName", ""), said.get("PathName", "")
    if not name:
        return _resolve(said["URL"], folder)
    if _SCHEME.match(name):
        return _resolve(name, folder)
    if _SCHEME.match(path):
        return _resolve(f"{path.rstrip('/')}/{name}", folder)
    if os.name != "nt" and _ELSEWHERE.match(path or name):
        raise DataError(
            f"{path or name} is a path of Windows",
            remedy="write where its files are on this machine, or paths relative to the table",
        )
    return _join(folder, PureWindowsPath(path, name).as_posix())


def _resolve(url: str, folder: str) -> str:
    """Make a path of a `file:` URL; leave others as they are."""
    match = _SCHEME.match(url)
    scheme = match[1].lower() if match else ""
    if not match:
        return _join(folder, PureWindowsPath(unquote(url)).as_posix())
    if scheme == "omero":
        raise DataError(
            f"{url} is in OMERO", remedy="export the images, and name the files or their URLs"
        )
    rest = url[match.end() :]
    if scheme != "file":
        if not rest.startswith("//"):
            raise DataError(f"{url} is no URL", remedy=f"write {scheme}://…")
        return f"{scheme}:{rest}"
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        rest = slash + path if host in ("", "localhost") else rest
    path = unquote(rest)
    return _join(folder, path[1:] if re.match(r"/[A-Za-z]:", path) else path)


def _join(folder: str, path: str) -> str:
    return f"{folder.rstrip('/')}/{path}" if is_url(folder) else str(Path(folder) / path)
