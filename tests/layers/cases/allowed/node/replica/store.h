#pragma once

int stored();
