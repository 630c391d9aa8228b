#pragma once

#include "storage/engine.h"
