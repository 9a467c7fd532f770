/*
 * The structure's own check: everything that mem believes about itself, compared. For tests.
 */
#pragma once

/*
 * NULL if all is well, otherwise the first thing that is not, a static text. Nobody may allocate
 * or free meanwhile; the grower must not run.
 */
const char *mem_check(void);
