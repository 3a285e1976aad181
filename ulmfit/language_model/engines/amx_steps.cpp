// The time steps of an LSTM layer in bfloat16 on processors with AMX, for `fused_steps.py`: a step's recurrent
// product stays in tile registers and the first cache until the cell has used it.
//
// Shapes: T steps, B rows of a batch, H units, U = ceil(H / 16) blocks of units. The steps divide the blocks
// among threads, which meet after every step. A thread computes its columns whatever the others do, and a row
// whatever the other rows hold: the number of threads and the batch change no result. In a left side the columns
// of a gate begin at a multiple of 16.

#include "amx.h"

#ifdef ULMFIT_AMX

#include <cstring>
#include <initializer_list>

using namespace amx;
using threads::in_team;

namespace {

constexpr int64_t LINE = 64, STAYS = 1 << 20;  // bytes

// Fetches what will be read next into the second cache, a part at a time: from further away a weight comes at half
// of the speed that the memory has, if nobody asks for it before.
struct Fetching {
    const char *next;
    int64_t lines;

    // The block after this one of a weight, `tiles_each` tiles, in `parts`; nothing where all blocks of a thread
    // stay in the cache.
    Fetching(const uint16_t *following, int64_t tiles_each, int64_t count, int64_t parts)
        : next(reinterpret_cast<const char *>(following)),
          lines(count * tiles_each * TILE * 2 > STAYS ? tiles(tiles_each * TILE * 2 / LINE, parts) : 0) {}

    void part() {
        for (int64_t line = 0; line < lines; ++line, next += LINE) _mm_prefetch(next, _MM_HINT_T1);
    }
};

// exp(-factor * x), not above 2^62, so that a product of two is finite: a polynomial for 2^f with 0 <= f < 1,
// right to 2e-7, and a power of two. The order of min's operands lets NaN through.
inline Floats exponential_of_minus(Floats x, float factor) {
    Floats y = _mm512_min_ps(floats(62.0f), _mm512_mul_ps(x, floats(-1.44269504f * factor)));
    Floats f = _mm512_reduce_ps(y, _MM_FROUND_TO_NEG_INF);
    Floats sum = floats(1.8775767e-3f);
    for (float next : {8.9893397e-3f, 5.5826318e-2f, 2.4015361e-1f, 6.9315308e-1f, 9.9999994e-1f})
        sum = _mm512_fmadd_ps(sum, f, floats(next));
    return _mm512_scalef_ps(sum, y);  // which takes the floor of y
}

inline Floats one_plus(Floats x) { return _mm512_add_ps(x, floats(1.0f)); }

inline Floats one_minus(Floats x) { return _mm512_sub_ps(floats(1.0f), x); }

// 1 / x, an approximation and one step of Newton's.
inline Floats reciprocal(Floats x) {
    Floats guess = _mm512_rcp14_ps(x);
    return _mm512_mul_ps(guess, _mm512_fnmadd_ps(x, guess, floats(2.0f)));
}

inline Floats logistic(Floats x) { return reciprocal(one_plus(exponential_of_minus(x, 1))); }

// Right to 2e-7 of 1, which near zero is not that much of the result; 16 bits are far coarser.
inline Floats hyperbolic_tangent(Floats x) {
    return _mm512_fmsub_ps(reciprocal(one_plus(exponential_of_minus(x, 2))), floats(2.0f), floats(1.0f));
}

// logistic(x) * hyperbolic_tangent(y), with one reciprocal for both.
inline Floats gated(Floats x, Floats y) {
    Floats power = exponential_of_minus(y, 2);
    Floats both = _mm512_mul_ps(one_plus(exponential_of_minus(x, 1)), one_plus(power));
    return _mm512_mul_ps(one_minus(power), reciprocal(both));
}

// Where a row's 16 columns from `column` on lie in the tiles of a left side with `depth` column tiles.
inline uint16_t *place(uint16_t *left, int64_t depth, int64_t row, int64_t column) {
    return left + (row / WIDTH * depth + column / DEPTH) * TILE + row % WIDTH * DEPTH + column % DEPTH;
}

// The cells of up to 32 rows, one block of units, one step; `row` is the next one to compute.
struct ForwardCells {
    int64_t row = 0, rows = 0, at_once = 1, H, depth;
    const float *sums;  // [i f, g o] (32, 32)
    uint16_t *gates, *outputs, *left;
    const float *old_cells;
    float *new_cells;
    Floats bias[4];
    __mmask16 mask;
    bool keeps;

    void part() { advance(at_once); }
    void finish() {
        advance(rows);
        rows = 0;
    }
    void advance(int64_t count) {
        for (; count > 0 && row < rows; --count, ++row) compute();
    }
    void compute() {
        uint16_t *gate = gates + row * 4 * H;
        Floats sum[4];
        for (int g = 0; g < 4; ++g) {
            Floats product = _mm512_load_ps(sums + g / 2 * GROUP * GROUP + row * GROUP + g % 2 * WIDTH);
            sum[g] = _mm512_add_ps(_mm512_add_ps(load(gate + g * H, mask), product), bias[g]);
            if (keeps) store(gate + g * H, mask, sum[g]);
        }
        Floats c = _mm512_maskz_loadu_ps(mask, old_cells + row * H);
        c = _mm512_fmadd_ps(logistic(sum[1]), c, gated(sum[0], sum[2]));
        _mm512_mask_storeu_ps(new_cells + row * H, mask, c);
        __m256i hidden = _mm256_maskz_mov_epi16(mask, rounded(gated(sum[3], c)));
        _mm256_mask_storeu_epi16(outputs + row * H, mask, hidden);
        _mm256_store_si256(reinterpret_cast<__m256i *>(place(left, depth, row, 0)), hidden);
    }
};

// The same on the way back, of two blocks of units.
struct BackwardCells {
    int64_t row = 0, rows = 0, at_once = 1, side = 0, H, blocks, depth, first_unit;
    const float *sums;  // (32, 32): the hidden state's gradient from the later step, where there was one
    uint16_t *gates, *left;
    const float *old_cells, *new_cells;
    const uint16_t *d_outputs;
    uint16_t *d_hidden;
    float *d_cells, *d_bias;
    Floats d_bias_here[2][4];
    __mmask16 masks[2];
    bool is_last, is_before_first;

    void part() { advance(at_once); }
    void finish() {
        advance(2 * rows);
        for (int64_t side = 0; rows > 0 && side < 2; ++side)
            for (int64_t n = 0; n < 4; ++n) {
                float *to = d_bias + n * H + side * WIDTH;
                Floats sum = _mm512_add_ps(_mm512_maskz_loadu_ps(masks[side], to), d_bias_here[side][n]);
                _mm512_mask_storeu_ps(to, masks[side], sum);
            }
        rows = 0;
    }
    void advance(int64_t count) {
        for (; count > 0 && row < rows; --count) {
            compute(side * WIDTH, masks[side], d_bias_here[side]);
            row += side;
            side ^= 1;
        }
    }
    void compute(int64_t unit, __mmask16 mask, Floats *bias) {
        int64_t at = row * H + unit;
        Floats recurrent = is_last ? load(d_hidden + at, mask) : _mm512_load_ps(sums + row * GROUP + unit);
        if (is_before_first) {
            store(d_hidden + at, mask, recurrent);
            return;
        }
        uint16_t *gate = gates + row * 4 * H + unit;
        Floats i = logistic(load(gate, mask)), f = logistic(load(gate + H, mask));
        Floats g = hyperbolic_tangent(load(gate + 2 * H, mask)), o = logistic(load(gate + 3 * H, mask));
        Floats before = _mm512_maskz_loadu_ps(mask, old_cells + at);
        Floats activated = hyperbolic_tangent(_mm512_maskz_loadu_ps(mask, new_cells + at));
        Floats d_h = _mm512_add_ps(load(d_outputs + at, mask), recurrent), one = floats(1.0f);
        Floats d_c = _mm512_maskz_loadu_ps(mask, d_cells + at);
        d_c = _mm512_fmadd_ps(_mm512_mul_ps(d_h, o), _mm512_fnmadd_ps(activated, activated, one), d_c);
        _mm512_mask_storeu_ps(d_cells + at, mask, _mm512_mul_ps(d_c, f));
        Floats d[4] = {
            _mm512_mul_ps(_mm512_mul_ps(d_c, g), _mm512_fnmadd_ps(i, i, i)),
            _mm512_mul_ps(_mm512_mul_ps(d_c, before), _mm512_fnmadd_ps(f, f, f)),
            _mm512_mul_ps(_mm512_mul_ps(d_c, i), _mm512_fnmadd_ps(g, g, one)),
            _mm512_mul_ps(_mm512_mul_ps(d_h, activated), _mm512_fnmadd_ps(o, o, o)),
        };
        for (int64_t n = 0; n < 4; ++n) {
            bias[n] = _mm512_add_ps(bias[n], d[n]);
            __m256i low = _mm256_maskz_mov_epi16(mask, rounded(d[n]));
            _mm256_mask_storeu_epi16(gate + n * H, mask, low);
            if (!mask) continue;  // the second block of a pair that has one
            int64_t column = n * blocks * WIDTH + first_unit + unit;
            _mm256_store_si256(reinterpret_cast<__m256i *>(place(left, depth, row, column)), low);
        }
    }
};

// 16 of a weight's values under a mask, where there is one.
inline Floats masked(const float *weight, const float *mask, int64_t at, __mmask16 inside) {
    Floats values = _mm512_maskz_loadu_ps(inside, weight + at);
    return mask == nullptr ? values : _mm512_mul_ps(values, _mm512_maskz_loadu_ps(inside, mask + at));
}

}  // namespace

extern "C" {

// Whether this process may use the tile registers, which it has to ask the system for.
int amx_is_there() { return syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18 /* tile data */) == 0; }

// Pack a recurrent weight (4H, H), times a mask or none, for the steps forward: [block of units][i f, g o][K tile]
// [gate of the pair].
void amx_pack_forward(int64_t H, const float *weight, const float *mask, uint16_t *packed, int threads) {
    int64_t blocks = tiles(H, WIDTH), depth = tiles(H, DEPTH);
    in_team(threads, [=](int thread, int team) {
        for (int64_t block = blocks * thread / team; block < blocks * (thread + 1) / team; ++block) {
            for (int64_t gate = 0; gate < 4; ++gate) {
                uint16_t *base = packed + (block * 4 + gate / 2 * 2) * depth * TILE + gate % 2 * TILE;
                for (int64_t c = 0; c < WIDTH; ++c) {
                    bool is_unit = block * WIDTH + c < H;
                    int64_t row = is_unit ? (gate * H + block * WIDTH + c) * H : 0;
                    for (int64_t k = 0; k < depth; ++k) {
                        alignas(64) uint32_t pairs[WIDTH];
                        for (int64_t half = 0; half < 2; ++half) {
                            int64_t columns = k * 2 + half;
                            __mmask16 inside = is_unit ? within(columns, H) : 0;
                            int64_t at = row + (inside ? columns * WIDTH : 0);
                            _mm256_store_si256(reinterpret_cast<__m256i *>(pairs) + half,
                                               rounded(masked(weight, mask, at, inside)));
                        }
                        uint32_t *tile = reinterpret_cast<uint32_t *>(base + k * 2 * TILE) + c;
                        for (int64_t r = 0; r < WIDTH; ++r) tile[r * WIDTH] = pairs[r];
                    }
                }
            }
        }
    });
}

// Pack the same for the steps back: [pair of blocks of units][K tile][block of the pair], where K runs over the
// gates, each filled up to whole blocks.
void amx_pack_backward(int64_t H, const float *weight, const float *mask, uint16_t *packed, int threads) {
    int64_t blocks = tiles(H, WIDTH), pairs = tiles(blocks, 2), depth = tiles(4 * blocks * WIDTH, DEPTH);
    in_team(threads, [=](int thread, int team) {
        for (int64_t pair = pairs * thread / team; pair < pairs * (thread + 1) / team; ++pair) {
            for (int64_t tile = 0; tile < 2 * depth; ++tile) {
                int64_t block = pair * 2 + tile % 2;
                uint16_t *to = packed + (pair * depth * 2 + tile) * TILE;
                for (int64_t r = 0; r < WIDTH; ++r, to += DEPTH) {
                    __m512i both = _mm512_setzero_si512();
                    for (int64_t second = 0; second < 2; ++second) {
                        int64_t row = tile / 2 * DEPTH + 2 * r + second, unit = row % (blocks * WIDTH);
                        __mmask16 inside = unit < H && row < 4 * blocks * WIDTH ? within(block, H) : 0;
                        int64_t at = inside ? (row / (blocks * WIDTH) * H + unit) * H + block * WIDTH : 0;
                        __m512i half = _mm512_cvtepu16_epi32(rounded(masked(weight, mask, at, inside)));
                        both = _mm512_or_si512(both, second ? _mm512_slli_epi32(half, 16) : half);
                    }
                    _mm512_storeu_si512(to, both);
                }
            }
        }
    });
}

// Steps 0 to T - 1. `gates` (T, B, 4H) hold the inputs' part and, with `keeps`, receive the sums before
// activation; `outputs` (T + 1, B, H) and `cells` (`entries`, B, H), used in turn from `first` on, hold the state
// before and receive those after. `left`, zeros, has two left sides of ceil(B / 16) x ceil(H / 32) tiles.
void amx_forward(int64_t T, int64_t B, int64_t H, uint16_t *gates, const uint16_t *packed, const float *bias,
                 float *cells, int64_t entries, int64_t first, uint16_t *outputs, int keeps, uint16_t *left,
                 int threads) {
    if (T == 0 || B == 0) return;
    int64_t blocks = tiles(H, WIDTH), depth = tiles(H, DEPTH), size = tiles(B, WIDTH) * depth * TILE;
    Barrier barrier;
    in_team(threads, [=, &barrier](int thread, int team) {
        Tiles configured;
        alignas(64) float sums[2][2][GROUP * GROUP];
        int64_t begin = blocks * thread / team, end = blocks * (thread + 1) / team;
        for (int64_t row = 0; row < B; ++row)
            for (int64_t block = begin; block < end; ++block) {
                __m256i values = _mm256_maskz_loadu_epi16(within(block, H), outputs + row * H + block * WIDTH);
                _mm256_store_si256(reinterpret_cast<__m256i *>(place(left, depth, row, block * WIDTH)), values);
            }
        barrier.wait(team);
        int turn = 0;
        ForwardCells cells_of_last;
        for (int64_t now = 0; now < T; ++now) {
            const uint16_t *before = left + now % 2 * size;
            for (int64_t block = begin; block < end; ++block) {
                int64_t unit = block * WIDTH;
                const uint16_t *weight = packed + block * 4 * depth * TILE;
                const uint16_t *following = packed + (block + 1 < end ? block + 1 : begin) * 4 * depth * TILE;
                Fetching fetching(following, 4 * depth, end - begin, 2 * depth * tiles(B, GROUP));
                for (int64_t row = 0; row < B; row += GROUP, turn ^= 1) {
                    for (int pair = 0; pair < 2; ++pair)
                        multiply(before + row / WIDTH * depth * TILE, depth * TILE, row + WIDTH < B,
                                 weight + pair * 2 * depth * TILE, depth, sums[turn][pair], fetching, cells_of_last);
                    cells_of_last.finish();
                    ForwardCells &next = cells_of_last;
                    next.row = 0;
                    next.rows = B - row < GROUP ? B - row : GROUP;
                    next.at_once = tiles(GROUP, 2 * depth);
                    next.H = H;
                    next.depth = depth;
                    next.sums = sums[turn][0];
                    next.gates = gates + (now * B + row) * 4 * H + unit;
                    next.outputs = outputs + ((now + 1) * B + row) * H + unit;
                    next.left = place(left + (now + 1) % 2 * size, depth, row, unit);
                    next.old_cells = cells + ((first + now) % entries * B + row) * H + unit;
                    next.new_cells = cells + ((first + now + 1) % entries * B + row) * H + unit;
                    next.mask = within(block, H);
                    for (int g = 0; g < 4; ++g) next.bias[g] = _mm512_maskz_loadu_ps(next.mask, bias + g * H + unit);
                    next.keeps = keeps;
                }
            }
            cells_of_last.finish();
            barrier.wait(team);
        }
    });
}

// Steps T - 1 to 0. `gates` (T, B, 4H) hold the sums before activation and receive their gradients; `cells`
// (T + 1, B, H) are those of all steps, the first before them; `d_outputs` (T, B, H); `d_hidden` (B, H) and
// `d_cell` (B, H) hold the gradients of the last state and receive those of the first, `d_hidden` only with
// `wants_first`; the gates' gradients are added to `d_bias` (4H). `left`, zeros, has two left sides of
// ceil(B / 16) x ceil(4U / 2) tiles.
void amx_backward(int64_t T, int64_t B, int64_t H, uint16_t *gates, const uint16_t *packed, const float *cells,
                  const uint16_t *d_outputs, uint16_t *d_hidden, float *d_cell, float *d_bias, int wants_first,
                  uint16_t *left, int threads) {
    if (T == 0 || B == 0) return;
    int64_t blocks = tiles(H, WIDTH), pairs = tiles(blocks, 2), depth = tiles(4 * blocks * WIDTH, DEPTH);
    int64_t size = tiles(B, WIDTH) * depth * TILE;
    Barrier barrier;
    in_team(threads, [=, &barrier](int thread, int team) {
        Tiles configured;
        alignas(64) float sums[2][GROUP * GROUP];
        int64_t begin = pairs * thread / team, end = pairs * (thread + 1) / team;
        int turn = 0;
        BackwardCells cells_of_last;
        for (int64_t now = T - 1; now >= (wants_first ? -1 : 0); --now) {
            const uint16_t *later = left + ((now + 1) & 1) * size;
            for (int64_t pair = begin; pair < end; ++pair) {
                int64_t unit = pair * GROUP;
                const uint16_t *weight = packed + pair * depth * 2 * TILE;
                const uint16_t *following = packed + (pair + 1 < end ? pair + 1 : begin) * depth * 2 * TILE;
                Fetching fetching(following, 2 * depth, end - begin, depth * tiles(B, GROUP));
                for (int64_t row = 0; row < B; row += GROUP, turn ^= 1) {
                    if (now < T - 1)
                        multiply(later + row / WIDTH * depth * TILE, depth * TILE, row + WIDTH < B,
                                 weight, depth, sums[turn], fetching, cells_of_last);
                    cells_of_last.finish();
                    BackwardCells &next = cells_of_last;
                    int64_t step = now < 0 ? 0 : now, at = row * H + unit;
                    next.row = next.side = 0;
                    next.rows = B - row < GROUP ? B - row : GROUP;
                    next.at_once = tiles(2 * GROUP, depth);
                    next.H = H;
                    next.blocks = blocks;
                    next.depth = depth;
                    next.first_unit = unit;
                    next.sums = sums[turn];
                    next.gates = gates + (step * B + row) * 4 * H + unit;
                    next.left = place(left + (step & 1) * size, depth, row, 0);
                    next.old_cells = cells + step * B * H + at;
                    next.new_cells = next.old_cells + B * H;
                    next.d_outputs = d_outputs + step * B * H + at;
                    next.d_hidden = d_hidden + at;
                    next.d_cells = d_cell + at;
                    next.d_bias = d_bias + unit;
                    std::memset(next.d_bias_here, 0, sizeof(next.d_bias_here));
                    for (int64_t side = 0; side < 2; ++side) next.masks[side] = within(pair * 2 + side, H);
                    next.is_last = now == T - 1;
                    next.is_before_first = now < 0;
                }
            }
            cells_of_last.finish();
            barrier.wait(team);
        }
    });
}

}  // extern "C"

#else

extern "C" int amx_is_there() { return 0; }

#endif
