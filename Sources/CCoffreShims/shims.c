#include "coffre_shims.h"
