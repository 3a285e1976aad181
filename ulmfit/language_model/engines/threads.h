// The OpenMP runtime that the caller's process has loaded already: a second one would spin against it.

#pragma once

namespace threads {

typedef void (*ParallelRegion)(void (*)(void *), void *, unsigned, unsigned);
typedef int (*ThreadNumber)();

// GOMP_parallel, omp_get_thread_num and omp_get_num_threads; without them everything runs in one thread.
inline ParallelRegion parallel_region = nullptr;
inline ThreadNumber thread_number = nullptr, team_size = nullptr;

// Call body(thread, team) in as many threads as the runtime gives, at most `wanted`.
template <class Body> void in_team(int wanted, const Body &body) {
    if (wanted > 1 && parallel_region != nullptr) {
        auto run = [](void *own) { (*static_cast<const Body *>(own))(thread_number(), team_size()); };
        parallel_region(run, const_cast<Body *>(&body), wanted, 0);
        return;
    }
    body(0, 1);
}

}  // namespace threads
