// The gradients of an LSTM's weights in bfloat16 on processors with AMX, for `fused_steps.py`: summed in float by
// tiles, and written once.
//
// Shapes: R rows, which are time steps times the batch; N columns of the gates; K units or inputs.

#include "amx.h"

#ifdef ULMFIT_AMX

using namespace amx;
using threads::in_team;

namespace {

constexpr int64_t PANEL_PAIRS = 8, PANEL_DEPTH = 70;  // a panel has 1.1 MB

// Swap the rows and columns of 16 by 16 values.
inline void transpose(Floats *rows) {
    Floats other[16];
    for (int i = 0; i < 16; i += 2) {
        other[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        other[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
    auto low = [](Floats a, Floats b) {
        return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
    };
    auto high = [](Floats a, Floats b) {
        return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
    };
    // From here on quarter q of row 4i + j holds column 4q + j of rows 4i to 4i + 3.
    for (int i = 0; i < 16; i += 4) {
        rows[i] = low(other[i], other[i + 2]);
        rows[i + 1] = high(other[i], other[i + 2]);
        rows[i + 2] = low(other[i + 1], other[i + 3]);
        rows[i + 3] = high(other[i + 1], other[i + 3]);
    }
    constexpr int EVEN = 0x88, ODD = 0xdd;  // quarters 0 and 2 of both, or 1 and 3
    for (int j = 0; j < 4; ++j) {
        other[j] = _mm512_shuffle_f32x4(rows[j], rows[4 + j], EVEN);
        other[4 + j] = _mm512_shuffle_f32x4(rows[j], rows[4 + j], ODD);
        other[8 + j] = _mm512_shuffle_f32x4(rows[8 + j], rows[12 + j], EVEN);
        other[12 + j] = _mm512_shuffle_f32x4(rows[8 + j], rows[12 + j], ODD);
    }
    for (int j = 0; j < 4; ++j) {
        rows[j] = _mm512_shuffle_f32x4(other[j], other[8 + j], EVEN);
        rows[8 + j] = _mm512_shuffle_f32x4(other[j], other[8 + j], ODD);
        rows[4 + j] = _mm512_shuffle_f32x4(other[4 + j], other[12 + j], EVEN);
        rows[12 + j] = _mm512_shuffle_f32x4(other[4 + j], other[12 + j], ODD);
    }
}

// 16 columns of 32 rows of a matrix (R, C), the rows in twos: what the instruction wants of a right side.
inline void in_twos(const uint16_t *matrix, int64_t R, int64_t C, int64_t row, int64_t block, Floats *to) {
    __mmask16 mask = within(block, C);
    for (int64_t r = 0; r < WIDTH; ++r, row += 2) {
        __mmask16 first = row < R ? mask : 0, second = row + 1 < R ? mask : 0;
        const uint16_t *from = matrix + row * C + block * WIDTH;
        __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first, from));
        __m512i high = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(second, second ? from + C : from));
        to[r] = _mm512_castsi512_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
}

inline void store_rows(uint16_t *to, const Floats *rows) {
    for (int64_t r = 0; r < WIDTH; ++r) _mm512_storeu_ps(to + r * DEPTH, rows[r]);
}

}  // namespace

extern "C" {

// How many bytes of working space `amx_weight_gradient` needs.
int64_t amx_weight_gradient_space(int64_t R, int64_t K, int threads) {
    return (tiles(K, WIDTH) * tiles(R, DEPTH) + threads * PANEL_PAIRS * PANEL_DEPTH * 2) * TILE * 2;
}

// result (N, K) = the transpose of gates' gradients (R, N) times what the weight was multiplied with (R, K), times
// a mask or none. All threads transpose the latter into tiles; then each has columns of its own, which it takes
// in panels that its second cache holds.
void amx_weight_gradient(int64_t R, int64_t N, int64_t K, const uint16_t *d_gates, const uint16_t *left,
                         const float *mask, float *result, uint16_t *space, int threads) {
    int64_t depth = tiles(R, DEPTH), blocks = tiles(K, WIDTH), pairs = tiles(N, GROUP);
    Barrier barrier;
    in_team(threads, [=, &barrier](int thread, int team) {
        Tiles configured;
        Nothing nothing;
        Floats rows[WIDTH];
        alignas(64) float sums[GROUP * GROUP];
        for (int64_t k = depth * thread / team; k < depth * (thread + 1) / team; ++k)
            for (int64_t block = 0; block < blocks; ++block) {
                in_twos(left, R, K, k * DEPTH, block, rows);
                transpose(rows);
                store_rows(space + (block * depth + k) * TILE, rows);
            }
        barrier.wait(team);
        uint16_t *panel = space + (blocks * depth + thread * PANEL_PAIRS * PANEL_DEPTH * 2) * TILE;
        int64_t end = pairs * (thread + 1) / team;
        for (int64_t first = pairs * thread / team; first < end; first += PANEL_PAIRS) {
            int64_t last = first + PANEL_PAIRS < end ? first + PANEL_PAIRS : end;
            for (int64_t start = 0; start < depth; start += PANEL_DEPTH) {
                int64_t count = depth - start < PANEL_DEPTH ? depth - start : PANEL_DEPTH;
                for (int64_t k = 0; k < count; ++k)  // a row's columns together, as they lie in memory
                    for (int64_t column = 0; column < 2 * (last - first); ++column) {
                        in_twos(d_gates, R, N, (start + k) * DEPTH, first * 2 + column, rows);
                        store_rows(panel + (column / 2 * count * 2 + k * 2 + column % 2) * TILE, rows);
                    }
                for (int64_t block = 0; block < blocks; block += 2)
                    for (int64_t pair = first; pair < last; ++pair) {
                        multiply(space + (block * depth + start) * TILE, depth * TILE, block + 1 < blocks,
                                 panel + (pair - first) * count * 2 * TILE, count, sums, nothing, nothing);
                        for (int64_t part = 0; part < 4; ++part) {
                            int64_t columns = block + part / 2, n = (pair * 2 + part % 2) * WIDTH;
                            __mmask16 inside = within(columns, K);
                            if (!inside) continue;
                            for (int64_t r = 0; r < WIDTH; ++r)
                                rows[r] = _mm512_load_ps(sums + (part / 2 * WIDTH + r) * GROUP + part % 2 * WIDTH);
                            transpose(rows);
                            for (int64_t r = 0; r < WIDTH && n + r < N; ++r) {
                                float *to = result + (n + r) * K + columns * WIDTH;
                                Floats sum = rows[r];
                                if (start) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(inside, to));
                                if (mask != nullptr && start + count == depth)
                                    sum = _mm512_mul_ps(sum, _mm512_maskz_loadu_ps(inside, mask + (to - result)));
                                _mm512_mask_storeu_ps(to, inside, sum);
                            }
                        }
                    }
            }
        }
    });
}

}  // extern "C"

#endif
