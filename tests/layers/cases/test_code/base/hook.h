#pragma once

#include "tests/sim/hook.h"
