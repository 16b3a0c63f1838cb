// The tasks of one call, done by threads that a framework lends.
#pragma once

#include "pool.h"

namespace py_layernorm {

// As parallel_for. False: there was no memory for it, and nothing was done.
bool run_on(const PyLayernormThreads& lent, int threads, std::int64_t tasks, std::int64_t block,
            Task task, const void* argument);

}  // namespace py_layernorm
