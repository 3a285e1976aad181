// The cell of an LSTM, and the softmax cross-entropy with its gradient, for `compiled.py`.
//
// Shapes: B rows of a batch, H units, N rows of logits, V vocabulary. Storage is float, double or bfloat16;
// arithmetic is in float, with double storage in double. Which thread computes a row changes no result, except
// for the sums over rows, which depend on the number of threads alone.

#include <cmath>
#include <cstdint>
#include <cstring>

#include "threads.h"

namespace {

// Call body(first, end, thread) for `parts` equal parts of the rows, however many threads there are.
template <class Body> void in_parallel(int64_t rows, int parts, const Body &body) {
    threads::in_team(parts, [&](int thread, int team) {
        for (int part = thread; part < parts; part += team) body(rows * part / parts, rows * (part + 1) / parts, part);
    });
}

template <class To, class From> inline To bits(From value) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To result;
    std::memcpy(&result, &value, sizeof(To));
    return result;
}

struct BFloat16 {
    uint16_t high;
};

template <class T> struct Arithmetic { typedef T type; };
template <> struct Arithmetic<BFloat16> { typedef float type; };

inline float load(float value) { return value; }
inline double load(double value) { return value; }
inline float load(BFloat16 value) { return bits<float>(uint32_t(value.high) << 16); }

inline void store(float &place, float value) { place = value; }
inline void store(double &place, double value) { place = value; }
inline void store(BFloat16 &place, float value) {  // to the nearest, ties to even; NaN stays NaN
    uint32_t whole = bits<uint32_t>(value);
    uint32_t rounded = (whole + 0x7fffu + ((whole >> 16) & 1u)) >> 16;
    place.high = uint16_t((whole & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
}

// exp(x) = 2^n exp(r) with |r| <= ln(2) / 2, where a Taylor series of these terms has the type's precision.
template <class F> struct Exponential;
template <> struct Exponential<float> {
    typedef int32_t Integer;
    static constexpr int terms = 7, mantissa = 23, bias = 127;
    static constexpr float round = 12582912.0f;  // adding 1.5 * 2^23 leaves the nearest integer in the low bits
    static constexpr float lowest = -87.0f, highest = 88.0f;
    static constexpr float ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
};
template <> struct Exponential<double> {
    typedef int64_t Integer;
    static constexpr int terms = 13, mantissa = 52, bias = 1023;
    static constexpr double round = 6755399441055744.0;
    static constexpr double lowest = -708.0, highest = 709.0;
    static constexpr double ln2_high = 0.693147180369123816490, ln2_low = 1.90821492927058770002e-10;
};

// Return exp(x) - 1 = power * fraction + (power - 1), which is precise near zero too.
template <class F> inline void split_exponential(F x, F &power, F &fraction) {
    typedef Exponential<F> E;
    x = x < E::lowest ? E::lowest : x;
    x = x > E::highest ? E::highest : x;
    F shifted = x * F(1.4426950408889634) + E::round;
    F n = shifted - E::round;
    F r = (x - n * E::ln2_high) - n * E::ln2_low;
    F sum = 1;
    for (int term = E::terms; term > 1; --term) sum = 1 + sum * r * (F(1) / F(term));
    typename E::Integer exponent = bits<typename E::Integer>(shifted) - bits<typename E::Integer>(F(E::round));
    power = bits<F>(typename E::Integer((exponent + E::bias) << E::mantissa));
    fraction = sum * r;
}

template <class F> inline F exponential(F x) {
    F power, fraction;
    split_exponential(x, power, fraction);
    return power * fraction + power;
}

template <class F> inline F logistic(F x) { return 1 / (1 + exponential(-x)); }

template <class F> inline F hyperbolic_tangent(F x) {
    F limit = sizeof(F) == 8 ? F(20) : F(10);  // beyond it the result is 1 in this type
    x = x < -limit ? -limit : x;
    x = x > limit ? limit : x;
    F power, fraction;
    split_exponential(-2 * x, power, fraction);
    F minus_one = power * fraction + (power - 1);
    return -minus_one / (minus_one + 2);
}

// Whether activated gates are kept for the backward pass, or the sums before activation. A gate near 1 would
// lose 1 - i in 16 bits, on which its gradient depends.
template <class T, class F> constexpr bool keeps_activated() { return sizeof(T) == sizeof(F); }

// One time step. `gates` (B, 4H), in torch's order i f g o, holds the inputs' part and receives what is kept
// of the gates; `product` (B, 4H) is the hidden state's part; `bias` (4H); cells (B, H); `hidden` (B, H) is written.
template <class T, class F>
void cell_forward(int64_t B, int64_t H, T *gates, const T *product, const F *bias, const F *previous, F *cell,
                  T *hidden, int threads) {
    in_parallel(B, threads, [=](int64_t first, int64_t end, int) {
        for (int64_t row = first; row < end; ++row) {
            T *__restrict__ gate = gates + row * 4 * H;
            const T *__restrict__ recurrent = product + row * 4 * H;
            const F *__restrict__ before = previous + row * H;
            F *__restrict__ after = cell + row * H;
            T *__restrict__ out = hidden + row * H;
#pragma omp simd
            for (int64_t u = 0; u < H; ++u) {
                F sum_i = load(gate[u]) + load(recurrent[u]) + bias[u];
                F sum_f = load(gate[u + H]) + load(recurrent[u + H]) + bias[u + H];
                F sum_g = load(gate[u + 2 * H]) + load(recurrent[u + 2 * H]) + bias[u + 2 * H];
                F sum_o = load(gate[u + 3 * H]) + load(recurrent[u + 3 * H]) + bias[u + 3 * H];
                F i = logistic<F>(sum_i), f = logistic<F>(sum_f), g = hyperbolic_tangent<F>(sum_g);
                F o = logistic<F>(sum_o);
                F c = f * before[u] + i * g;
                after[u] = c;
                store(out[u], o * hyperbolic_tangent<F>(c));
                store(gate[u], keeps_activated<T, F>() ? i : sum_i);
                store(gate[u + H], keeps_activated<T, F>() ? f : sum_f);
                store(gate[u + 2 * H], keeps_activated<T, F>() ? g : sum_g);
                store(gate[u + 3 * H], keeps_activated<T, F>() ? o : sum_o);
            }
        }
    });
}

// The gradient of one time step. `gates` holds what was kept and receives the gates' gradients before
// activation; the hidden state's gradient is `above` (B, H) plus `later` (B, H); `d_cell` (B, H) is updated.
// The gates' gradients are added to `d_bias` (threads, 4H).
template <class T, class F>
void cell_backward(int64_t B, int64_t H, T *gates, const F *previous, const F *cell, const T *above,
                   const T *later, F *d_cell, F *d_bias, int threads) {
    in_parallel(B, threads, [=](int64_t first, int64_t end, int thread) {
        F *__restrict__ sums = d_bias + thread * 4 * H;
        for (int64_t row = first; row < end; ++row) {
            T *__restrict__ gate = gates + row * 4 * H;
            const F *__restrict__ before = previous + row * H;
            const F *__restrict__ after = cell + row * H;
            const T *__restrict__ top = above + row * H;
            const T *__restrict__ next = later + row * H;
            F *__restrict__ carried = d_cell + row * H;
#pragma omp simd
            for (int64_t u = 0; u < H; ++u) {
                F i = load(gate[u]), f = load(gate[u + H]), g = load(gate[u + 2 * H]), o = load(gate[u + 3 * H]);
                if (!keeps_activated<T, F>()) {
                    i = logistic<F>(i), f = logistic<F>(f), g = hyperbolic_tangent<F>(g), o = logistic<F>(o);
                }
                F activated = hyperbolic_tangent<F>(after[u]);
                F d_hidden = load(top[u]) + load(next[u]);
                F d = carried[u] + d_hidden * o * (1 - activated * activated);
                carried[u] = d * f;
                F d_i = d * g * i * (1 - i), d_f = d * before[u] * f * (1 - f);
                F d_g = d * i * (1 - g * g), d_o = d_hidden * activated * o * (1 - o);
                sums[u] += d_i;
                sums[u + H] += d_f;
                sums[u + 2 * H] += d_g;
                sums[u + 3 * H] += d_o;
                store(gate[u], d_i);
                store(gate[u + H], d_f);
                store(gate[u + 2 * H], d_g);
                store(gate[u + 3 * H], d_o);
            }
        }
    });
}

template <class T, class F> inline F largest(const T *__restrict__ row, const F *__restrict__ bias, int64_t V) {
    F result = load(row[0]) + bias[0];
#pragma omp simd reduction(max : result)
    for (int64_t v = 0; v < V; ++v) {
        F x = load(row[v]) + bias[v];
        result = x > result ? x : result;
    }
    return result;
}

// Cross-entropy of logits (N, V) + bias (V) against targets (N): `losses` (N) in nats. With `d_bias`
// (threads, V), which is added to, the logits are overwritten by the gradient of scale * sum(losses).
// `exponentials` (threads, V) is working space.
template <class T, class F>
void cross_entropy(int64_t N, int64_t V, T *logits, const F *bias, const int64_t *targets, F smoothing, F scale,
                   F *losses, F *exponentials, F *d_bias, int threads) {
    in_parallel(N, threads, [=](int64_t first, int64_t end, int thread) {
        F *__restrict__ powers = exponentials + thread * V;
        F *__restrict__ sums = d_bias == nullptr ? nullptr : d_bias + thread * V;
        for (int64_t row = first; row < end; ++row) {
            T *__restrict__ x = logits + row * V;
            F top = largest<T, F>(x, bias, V), total = 0, plain = 0;
#pragma omp simd reduction(+ : total, plain)
            for (int64_t v = 0; v < V; ++v) {
                F value = load(x[v]) + bias[v] - top;
                F power = exponential<F>(value);
                powers[v] = power;
                total += power;
                plain += value;
            }
            int64_t target = targets[row];
            F right = load(x[target]) + bias[target] - top;
            losses[row] = std::log(total) - (1 - smoothing) * right - smoothing * plain / F(V);
            if (sums == nullptr) continue;
            F factor = scale / total, share = scale * smoothing / F(V), kept = scale * (1 - smoothing);
            F at_target = powers[target] * factor - share - kept;
#pragma omp simd
            for (int64_t v = 0; v < V; ++v) {
                F gradient = powers[v] * factor - share;
                sums[v] += gradient;
                store(x[v], gradient);
            }
            sums[target] -= kept;
            store(x[target], at_target);
        }
    });
}

}  // namespace

extern "C" {

void set_runtime(void *parallel, void *number, void *size) {
    threads::parallel_region = reinterpret_cast<threads::ParallelRegion>(parallel);
    threads::thread_number = reinterpret_cast<threads::ThreadNumber>(number);
    threads::team_size = reinterpret_cast<threads::ThreadNumber>(size);
}

#define KERNELS(NAME, T, F)                                                                                       \
    void cell_forward_##NAME(int64_t B, int64_t H, T *gates, const T *product, const F *bias, const F *previous,  \
                             F *cell, T *hidden, int threads) {                                                   \
        cell_forward<T, F>(B, H, gates, product, bias, previous, cell, hidden, threads);                          \
    }                                                                                                             \
    void cell_backward_##NAME(int64_t B, int64_t H, T *gates, const F *previous, const F *cell, const T *above,   \
                              const T *later, F *d_cell, F *d_bias, int threads) {                                \
        cell_backward<T, F>(B, H, gates, previous, cell, above, later, d_cell, d_bias, threads);                  \
    }                                                                                                             \
    void cross_entropy_##NAME(int64_t N, int64_t V, T *logits, const F *bias, const int64_t *targets,             \
                              double smoothing, double scale, F *losses, F *exponentials, F *d_bias,              \
                              int threads) {                                                                      \
        cross_entropy<T, F>(N, V, logits, bias, targets, F(smoothing), F(scale), losses, exponentials, d_bias,    \
                            threads);                                                                             \
    }

KERNELS(float32, float, float)
KERNELS(float64, double, double)
KERNELS(bfloat16, BFloat16, float)

}  // extern "C"
