/*
 * What marks a function of Tarn's public interface. All of Tarn is compiled with hidden symbols;
 * libtarn.so exports what carries this mark, and its version script lets only tarn_* through.
 */
#pragma once

#if defined(__GNUC__)
#define TARN_API __attribute__((visibility("default")))
#else
#define TARN_API
#endif

/* Brackets for declarations that C++ programs must see with C's names. */
#ifdef __cplusplus
#define TARN_BEGIN_DECLS extern "C" {
#define TARN_END_DECLS   }
#else
#define TARN_BEGIN_DECLS
#define TARN_END_DECLS
#endif
