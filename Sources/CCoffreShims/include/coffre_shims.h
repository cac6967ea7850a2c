#ifndef COFFRE_SHIMS_H
#define COFFRE_SHIMS_H
// What Swift cannot import: variadic functions, macros with side effects, raw system calls.
// Every function is a thin wrapper; returns follow the wrapped call unless stated.
#include "coffre_file.h"
#include "coffre_host.h"
#include "coffre_process.h"
#endif
