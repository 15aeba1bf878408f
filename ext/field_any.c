/* The loops as every CPU of this kind runs them. */
#include "field.h"

#define FIELD_LOOPS field_any
#define FIELD_NAME "any"
#include "field_loops.h"
