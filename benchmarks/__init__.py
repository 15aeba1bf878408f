"""Benchmarks: asv imports every file of this folder, the scripts too.

Scripts import one another as files beside them, which is what `python benchmarks/script.py` gives.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
