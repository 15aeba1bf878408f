"""CellProfiler's plug-ins, and all of them that needs no CellProfiler.

::

    CellProfiler ──► plugins/measurethresholdadjacency.py ──► measuring ──► levels ──► features
                     plugins/classifyimageshts.py ──────────► calling ──► models.svm

``plugins/``
    The two files that CellProfiler loads: settings, help, columns and display. They alone import
    CellProfiler, and nothing here imports them: they are data, which `install` copies.
``levels.py``
    `file_levels`: CellProfiler's images from 0 to 1 back to the grey levels of their file.
``choosing.py``
    `Choices`, what the module is set to, and the texts of its settings.
``measuring.py``
    Statistics of images and objects.
``naming.py``
    What these are called.
``calling.py``
    `SavedModel`: the TAS model of a run, and the channels and pixels that it takes.
``installing.py``
    `install`: the plug-ins into CellProfiler's folder.

In CellProfiler's environment this needs NumPy and the compiled core; `calling` also scikit-learn
and skops. It is installed there without what the rest of the package needs:
`pip install --no-deps hts_classify`.
"""

from .installing import install, plugins

__all__ = ["install", "plugins"]
