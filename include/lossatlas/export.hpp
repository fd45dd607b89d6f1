#pragma once

/// Marks a symbol of the shared library as public; everything else is hidden.
#define LOSSATLAS_API __attribute__((visibility("default")))
