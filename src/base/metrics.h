#pragma once
#include "base/compiler.h"
uint64_t *metrics_cells(uint32_t slot);
