#ifndef COFFRE_CATALOGUE_H
#define COFFRE_CATALOGUE_H

#include <stddef.h>

/// The bytes of catalogue.json, which lie in the program itself.
const void *_Nonnull coffre_catalogue(void);

/// How many they are.
size_t coffre_catalogue_bytes(void);

#endif
