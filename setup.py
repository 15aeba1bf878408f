"""Build the compiled core; everything else about the package is in pyproject.toml."""

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = ["scalar", "u64", "avx2", "avx512", "neon"]
PARTS = ["dispatch", "rows", "objects", "thresholds", *KERNELS]
SOURCES = ["_tas.pyx", *(f"tas_{name}.c" for name in PARTS)]
HEADERS = ["tas.h", "tas_adders.h", "tas_bit_rows.h", "tas_bitslice.h", "tas_byte_sums.h"]
HEADERS += ["tas_target.h", "tas_wide.h"]

# Fused multiply-adds would change what Otsu's method finds on ties.
FLAGS = {"msvc": ["/O2", "/fp:precise", "/std:c11"]}
FLAGS_ELSEWHERE = ["-O3", "-ffp-contract=off", "-fno-fast-math"]


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
