/*
 * The page that GET / shows: dashboard.html, embedded when the program is built.
 */
#pragma once

#include <stddef.h>

extern const unsigned char dashboard[];
extern const size_t dashboard_bytes;
