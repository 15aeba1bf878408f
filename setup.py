"""Build the compiled core; everything else about the package is in pyproject.toml."""

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCES = ["_tas.pyx", "tas_dispatch.c", "tas_histogram.c", "tas_scalar.c", "tas_u64.c"]
HEADERS = ["tas.h", "tas_bitslice.h"]

# Fused multiply-adds would change what Otsu's method finds on ties.
FLAGS = {"msvc": ["/O2", "/fp:precise", "/std:c11"]}
FLAGS_ELSEWHERE = ["-O3", "-ffp-contract=off"]


class BuildCore(build_ext):
    """Choose the flags by the compiler, which is known only now."""

    def build_extension(self, ext: Extension) -> None:
        """Add the flags, then build as usual."""
        flags = FLAGS.get(self.compiler.compiler_type, FLAGS_ELSEWHERE)
        ext.extra_compile_args = [*ext.extra_compile_args, *flags]
        super().build_extension(ext)


core = Extension(
    "hts_classify.features._tas",
    sources=[f"ext/{name}" for name in SOURCES],
    depends=[f"ext/{name}" for name in HEADERS],
    include_dirs=["ext"],
)

setup(ext_modules=cythonize([core]), cmdclass={"build_ext": BuildCore})
