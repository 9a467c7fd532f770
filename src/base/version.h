/*
 * Which Tarn this is.
 */
#pragma once

#define TARN_NAME "tarn"

/* "0.1.0" */
extern const char version_text[];

/* The commit that was built, with "+" behind it if files were changed since; "unknown" if it was
 * not built from a repository. */
extern const char version_commit[];
