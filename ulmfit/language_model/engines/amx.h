// Matrix products in bfloat16 by the tile registers of processors with AMX; where ULMFIT_AMX is defined.
//
// The left side of a product lies in tiles of 16 rows by 32 columns, a kilobyte each, [row tile][column tile]. A
// right side lies in the order in which it is read: pairs of tiles of 32 rows by 16 columns, the rows in twos as
// the instruction wants them.

#pragma once

#include <cstdint>

#if defined(__linux__) && defined(__AMX_TILE__) && defined(__AMX_BF16__) && defined(__AVX512BF16__) && \
    defined(__AVX512VL__) && defined(__AVX512BW__) && defined(__AVX512DQ__)

#define ULMFIT_AMX

#include <immintrin.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>

#include "threads.h"

namespace amx {

constexpr int64_t WIDTH = 16, DEPTH = 32, TILE = WIDTH * DEPTH, GROUP = 2 * WIDTH;
constexpr int SPINS = 2000;

inline int64_t tiles(int64_t count, int64_t size) { return (count + size - 1) / size; }

// All threads wait until the last one has come. One that waits for long sleeps: the others may want its processor.
class Barrier {
    std::atomic<int> arrived{0}, round{0}, asleep{0};
    static_assert(sizeof(std::atomic<int>) == sizeof(int), "the system waits for an int to change");

    void call(int operation, int value) {
        syscall(SYS_futex, reinterpret_cast<int *>(&round), operation | FUTEX_PRIVATE_FLAG, value, nullptr, nullptr, 0);
    }

  public:
    void wait(int team) {
        int now = round.load(std::memory_order_acquire);
        if (arrived.fetch_add(1, std::memory_order_acq_rel) == team - 1) {
            arrived.store(0, std::memory_order_relaxed);
            round.store(now + 1);
            if (asleep.load()) call(FUTEX_WAKE, INT_MAX);
            return;
        }
        for (int turns = 0; turns < SPINS; ++turns) {
            if (round.load(std::memory_order_acquire) != now) return;
            _mm_pause();
        }
        ++asleep;
        while (round.load() == now) call(FUTEX_WAIT, now);
        --asleep;
    }
};

// Tile registers 0 to 3 hold sums, 4 and 5 the left side, 6 and 7 the weight: all 16 rows of 64 bytes.
struct Tiles {
    Tiles() {
        alignas(64) uint8_t palette[64] = {};
        palette[0] = 1;
        for (int tile = 0; tile < 8; ++tile) palette[16 + 2 * tile] = 64, palette[48 + tile] = 16;
        asm volatile("" ::: "memory");  // not every compiler knows that all of the palette is read
        _tile_loadconfig(palette);
    }
    ~Tiles() { _tile_release(); }
};

// For `multiply`, where there is nothing to do meanwhile.
struct Nothing {
    void part() {}
};

// sums (32, 32) = left, one or two row tiles that are `next` elements apart, times a packed weight of `depth`
// pairs of tiles. The vector units do something else meanwhile, a part after each pair: tiles have units of
// their own, and wait for memory.
template <class Fetch, class Meanwhile>
inline void multiply(const uint16_t *left, int64_t next, bool both, const uint16_t *weight, int64_t depth,
                     float *sums, Fetch &fetching, Meanwhile &meanwhile) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t k = 0; k < depth; ++k, left += TILE, weight += 2 * TILE) {
        _tile_loadd(6, weight, 64);
        _tile_loadd(4, left, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, weight + TILE, 64);
        _tile_dpbf16ps(1, 4, 7);
        if (both) {
            _tile_loadd(5, left + next, 64);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
        fetching.part();
        meanwhile.part();
    }
    if (both) {
        _tile_stored(2, sums + WIDTH * GROUP, GROUP * 4);
        _tile_stored(3, sums + WIDTH * GROUP + WIDTH, GROUP * 4);
    }
    _tile_stored(0, sums, GROUP * 4);
    _tile_stored(1, sums + WIDTH, GROUP * 4);
}

typedef __m512 Floats;

inline Floats floats(float value) { return _mm512_set1_ps(value); }

inline Floats widened(__m256i values) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(values), 16));
}

inline Floats load(const uint16_t *place, __mmask16 mask) {
    return widened(_mm256_maskz_loadu_epi16(mask, place));
}

inline __m256i rounded(Floats values) { return (__m256i)_mm512_cvtneps_pbh(values); }

inline void store(uint16_t *place, __mmask16 mask, Floats values) {
    _mm256_mask_storeu_epi16(place, mask, rounded(values));
}

inline __mmask16 within(int64_t block, int64_t units) {
    int64_t left = units - block * WIDTH;
    return left >= WIDTH ? 0xffff : left <= 0 ? 0 : uint16_t((1u << left) - 1);
}

}  // namespace amx

#endif
