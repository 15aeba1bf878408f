/* The instruction sets of a file's functions, chosen in the file: no flag of the compiler is
 * needed, and what other files share with it is compiled for every CPU. */
#ifndef TAS_TARGET_H
#define TAS_TARGET_H

#define TAS_PRAGMA(text) _Pragma(#text)

#if defined(__clang__)
#define TAS_TARGET_BEGIN(features)                                                             \
    TAS_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define TAS_TARGET_END TAS_PRAGMA(clang attribute pop)
#else
#define TAS_TARGET_BEGIN(features) TAS_PRAGMA(GCC push_options) TAS_PRAGMA(GCC target(features))
#define TAS_TARGET_END TAS_PRAGMA(GCC pop_options)
#endif

#endif
