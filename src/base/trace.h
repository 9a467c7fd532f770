#pragma once
#include "base/compiler.h"
struct trace_ring;
struct trace_ring *trace_ring_of(uint32_t slot);
