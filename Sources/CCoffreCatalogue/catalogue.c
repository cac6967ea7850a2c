#include "CCoffreCatalogue.h"

// C23 §6.10.4, which clang knows in every dialect and says so in a warning. SwiftPM's .embedInCode spells each byte as a
// Swift literal: for this file that took the compiler three minutes and 2 GB (Swift 6.3).
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wc23-extensions"
static const unsigned char catalogue[] = {
#embed "catalogue.json"
};
#pragma clang diagnostic pop

const void *coffre_catalogue(void) { return catalogue; }

size_t coffre_catalogue_bytes(void) { return sizeof catalogue; }
