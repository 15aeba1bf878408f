"""Build the compiled core; everything else about the package is in pyproject.toml."""

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

KERNELS = ["scalar", "u64", "avx2", "avx512", "neon"]
PARTS = ["dispatch", "rows", "objects", "thresholds", "figures", *KERNELS]
SOURCES = ["_tas.pyx", *(f"tas_{name}.c" for name in PARTS)]
HEADERS = ["tas.h", "tas_adders.h", "tas_bit_rows.h", "tas_bitslice.h", "tas_byte_sums.h"]
HEADERS += ["tas_target.h", "tas_wide.h", "_buffers.pxi"]

FIELD_PARTS = ["shrink", "focus", "dispatch", "any", "avx2", "avx512"]
FIELD_SOURCES = ["_field.pyx", *(f"field_{name}.c" for name in FIELD_PARTS)]
FIELD_HEADERS = ["field.h", "field_loops.h", "tas.h", "tas_target.h", "tas_wide.h", "_buffers.pxi"]

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


def extension(name: str, sources: list[str], headers: list[str]) -> Extension:
    """Describe a module of the package that is built from files in ext/."""
    return Extension(
        f"hts_classify.features.{name}",
        sources=[f"ext/{source}" for source in sources],
        depends=[f"ext/{header}" for header in headers],
        include_dirs=["ext"],
    )


core = [
    extension("_tas", SOURCES, HEADERS),
    extension("_field", FIELD_SOURCES, FIELD_HEADERS),
]

setup(ext_modules=cythonize(core), cmdclass={"build_ext": BuildCore})
