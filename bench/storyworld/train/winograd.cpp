// 3 x 3 convolution by Winograd's F(4 x 4, 3 x 3) over points 0, +-1, +-2 (arXiv 1509.09308, section 4), float32, one
// thread. Pixels are [N, H, W, C] with H and W multiples of 4 and C one of LANES. A few tiles at a time are transformed,
// multiplied and transformed back within the second cache. Each map has its transpose next to it: the gradients are made
// of them. Plain C interface, called through ctypes.
#include <algorithm>
#include <cstdint>
#include <vector>

namespace {

constexpr int LANES = 8;
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4)));

inline vec load(const float* from) { return *reinterpret_cast<const vec*>(from); }
inline void store(float* to, vec x) { *reinterpret_cast<vec*>(to) = x; }

struct Input {  // B^T: 6 pixels to 6 values
    static constexpr int IN = 6, OUT = 6;
    static inline void run(const vec* d, vec* t, int s, int o) {
        const vec d0 = d[0], d1 = d[s], d2 = d[2 * s], d3 = d[3 * s], d4 = d[4 * s], d5 = d[5 * s];
        const vec p = d4 - 4.f * d2, q = d3 - 4.f * d1, r = d4 - d2, u = 2.f * (d3 - d1);
        t[0] = 4.f * d0 - 5.f * d2 + d4;
        t[o] = p + q;
        t[2 * o] = p - q;
        t[3 * o] = r + u;
        t[4 * o] = r - u;
        t[5 * o] = 4.f * d1 - 5.f * d3 + d5;
    }
};

struct InputTransposed {  // B
    static constexpr int IN = 6, OUT = 6;
    static inline void run(const vec* v, vec* t, int s, int o) {
        const vec v0 = v[0], v1 = v[s], v2 = v[2 * s], v3 = v[3 * s], v4 = v[4 * s], v5 = v[5 * s];
        const vec a = v1 + v2, b = v1 - v2, c = v3 + v4, d = v3 - v4;
        t[0] = 4.f * v0;
        t[o] = 4.f * (v5 - b) - 2.f * d;
        t[2 * o] = -5.f * v0 - 4.f * a - c;
        t[3 * o] = b + 2.f * d - 5.f * v5;
        t[4 * o] = v0 + a + c;
        t[5 * o] = v5;
    }
};

struct Output {  // A^T: 6 values to 4 pixels
    static constexpr int IN = 6, OUT = 4;
    static inline void run(const vec* m, vec* t, int s, int o) {
        const vec a = m[s] + m[2 * s], b = m[s] - m[2 * s], c = m[3 * s] + m[4 * s], d = m[3 * s] - m[4 * s];
        t[0] = m[0] + a + c;
        t[o] = b + 2.f * d;
        t[2 * o] = a + 4.f * c;
        t[3 * o] = b + 8.f * d + m[5 * s];
    }
};

struct OutputTransposed {  // A
    static constexpr int IN = 4, OUT = 6;
    static inline void run(const vec* y, vec* t, int s, int o) {
        const vec y0 = y[0], y1 = y[s], y2 = y[2 * s], y3 = y[3 * s];
        const vec a = y0 + y2, b = y1 + y3, c = y0 + 4.f * y2, d = 2.f * y1 + 8.f * y3;
        t[0] = y0;
        t[o] = a + b;
        t[2 * o] = a - b;
        t[3 * o] = c + d;
        t[4 * o] = c - d;
        t[5 * o] = y3;
    }
};

// A square of IN x IN vectors to one of OUT x OUT: the map over columns, then over rows.
template <class Map> inline void both_ways(const vec* in, vec* out) {
    vec half[Map::OUT * Map::IN];
    for (int j = 0; j < Map::IN; ++j) Map::run(in + j, half + j, Map::IN, Map::IN);
    for (int i = 0; i < Map::OUT; ++i) Map::run(half + i * Map::IN, out + i * Map::OUT, 1, 1);
}

// The tiles FIRST to FIRST + COUNT of a batch of pictures, in rows; each has 4 x 4 pixels.
struct Tiles {
    int H, W;
    int64_t first;
    int count;
    template <class Body> void each(const Body& body) const {  // body(tile, picture, top, left)
        const int across = W / 4, all = H / 4 * across;
        for (int t = 0; t < count; ++t) {
            const int64_t n = (first + t) / all;
            const int at = static_cast<int>((first + t) % all);
            body(t, n, at / across * 4, at % across * 4);
        }
    }
};

// Squares of IN x IN pixels, from OFFSET before a tile's corner, to planes [36][stride] of [count][C]; what lies outside
// of the picture is 0.
template <class Map, int OFFSET> void to_planes(const float* x, float* planes, int64_t stride, Tiles tiles, int C) {
    tiles.each([&](int tile, int64_t n, int top, int left) {
        const float* picture = x + n * tiles.H * tiles.W * C;
        for (int c = 0; c < C; c += LANES) {
            vec in[Map::IN * Map::IN], out[36];
            for (int i = 0; i < Map::IN; ++i)
                for (int j = 0; j < Map::IN; ++j) {
                    const int row = top + i - OFFSET, column = left + j - OFFSET;
                    const bool inside = row >= 0 && row < tiles.H && column >= 0 && column < tiles.W;
                    in[i * Map::IN + j] = inside ? load(picture + (int64_t(row) * tiles.W + column) * C + c) : vec{};
                }
            both_ways<Map>(in, out);
            for (int k = 0; k < 36; ++k) store(planes + k * stride + int64_t(tile) * C + c, out[k]);
        }
    });
}

// The way back; where squares overlap (ADD) they are summed into x, else x is written, with a bias a channel.
template <class Map, int OFFSET, bool ADD>
void from_planes(const float* planes, float* x, const float* bias, int64_t stride, Tiles tiles, int C) {
    tiles.each([&](int tile, int64_t n, int top, int left) {
        float* picture = x + n * tiles.H * tiles.W * C;
        for (int c = 0; c < C; c += LANES) {
            vec in[36], out[Map::OUT * Map::OUT];
            for (int k = 0; k < 36; ++k) in[k] = load(planes + k * stride + int64_t(tile) * C + c);
            both_ways<Map>(in, out);
            const vec shift = bias ? load(bias + c) : vec{};
            for (int i = 0; i < Map::OUT; ++i)
                for (int j = 0; j < Map::OUT; ++j) {
                    const int row = top + i - OFFSET, column = left + j - OFFSET;
                    if (row < 0 || row >= tiles.H || column < 0 || column >= tiles.W) continue;
                    float* to = picture + (int64_t(row) * tiles.W + column) * C + c;
                    store(to, out[i * Map::OUT + j] + (ADD ? load(to) : shift));
                }
        }
    });
}

// A matrix whose number at (row, step) is at[row * down + step * along].
struct Left {
    const float* at;
    int64_t down, along;
};

// to[ROWS][VECS * LANES] (+)= left x right over `depth`; its sums stay in registers.
template <int ROWS, int VECS>
inline void block(Left left, const float* right, int64_t right_row, float* to, int64_t to_row, int depth, bool add) {
    vec sum[ROWS][VECS];
    for (int i = 0; i < ROWS; ++i)
        for (int j = 0; j < VECS; ++j) sum[i][j] = add ? load(to + i * to_row + j * LANES) : vec{};
    for (int p = 0; p < depth; ++p)
        for (int i = 0; i < ROWS; ++i)
            for (int j = 0; j < VECS; ++j)
                sum[i][j] += left.at[i * left.down + p * left.along] * load(right + p * right_row + j * LANES);
    for (int i = 0; i < ROWS; ++i)
        for (int j = 0; j < VECS; ++j) store(to + i * to_row + j * LANES, sum[i][j]);
}

template <int VECS>
void columns(int rows, int depth, Left left, const float* right, int64_t right_row, float* to, int64_t to_row, bool add) {
    constexpr int MOST = 6;  // rows of sums: 6 x 2 of the 16 registers
    int row = 0;
    for (; row + MOST <= rows; row += MOST, left.at += MOST * left.down)
        block<MOST, VECS>(left, right, right_row, to + row * to_row, to_row, depth, add);
    for (; row < rows; ++row, left.at += left.down)
        block<1, VECS>(left, right, right_row, to + row * to_row, to_row, depth, add);
}

// to[rows][width] (+)= left[rows][depth] x right[depth][width]; width is a multiple of LANES.
void multiply(int rows, int width, int depth, Left left, const float* right, float* to, bool add) {
    int column = 0;
    for (; column + 2 * LANES <= width; column += 2 * LANES)
        columns<2>(rows, depth, left, right + column, width, to + column, width, add);
    if (column < width) columns<1>(rows, depth, left, right + column, width, to + column, width, add);
}

// Work space of one slice of tiles: planes of C and of K channels that fit the second cache together.
struct Slice {
    static constexpr int64_t BYTES = 384 << 10;
    static constexpr int PAD = 16;  // planes a power of two apart would share the lines of a cache
    int tiles;
    int64_t v_stride, m_stride;
    std::vector<float> space;
    Slice(int C, int K) {
        tiles = std::max<int>(2, BYTES / (6 * 36 * 4 * (C + K))) * 6;
        v_stride = int64_t(tiles) * C + PAD;
        m_stride = int64_t(tiles) * K + PAD;
        space.resize(36 * (v_stride + m_stride));
    }
    float* v() { return space.data(); }
    float* m() { return space.data() + 36 * v_stride; }
};

}  // namespace

extern "C" {

// y [N, H, W, K] from x [N, H, W, C], kernels [36, C, K] and bias [K] or none.
void convolve(const float* x, const float* kernels, const float* bias, float* y, int N, int H, int W, int C, int K) {
    Slice slice(C, K);
    const int64_t all = int64_t(N) * H * W / 16;
    for (int64_t first = 0; first < all; first += slice.tiles) {
        const Tiles tiles{H, W, first, static_cast<int>(std::min<int64_t>(slice.tiles, all - first))};
        to_planes<Input, 1>(x, slice.v(), slice.v_stride, tiles, C);
        for (int k = 0; k < 36; ++k)
            multiply(tiles.count, K, C, {slice.v() + k * slice.v_stride, C, 1}, kernels + int64_t(k) * C * K,
                     slice.m() + k * slice.m_stride, false);
        from_planes<Output, 0, false>(slice.m(), y, bias, slice.m_stride, tiles, K);
    }
}

// Adds to dx [N, H, W, C] and dkernels [36, C, K]; turned is kernels as [36, K, C].
void gradients(const float* dy, const float* x, const float* turned, float* dx, float* dkernels, int N, int H, int W,
               int C, int K) {
    Slice slice(C, K);
    const int64_t all = int64_t(N) * H * W / 16;
    for (int64_t first = 0; first < all; first += slice.tiles) {
        const Tiles tiles{H, W, first, static_cast<int>(std::min<int64_t>(slice.tiles, all - first))};
        to_planes<Input, 1>(x, slice.v(), slice.v_stride, tiles, C);
        to_planes<OutputTransposed, 0>(dy, slice.m(), slice.m_stride, tiles, K);
        for (int k = 0; k < 36; ++k) {
            float *v = slice.v() + k * slice.v_stride, *m = slice.m() + k * slice.m_stride;
            multiply(C, K, tiles.count, {v, 1, C}, m, dkernels + int64_t(k) * C * K, true);
            multiply(tiles.count, C, K, {m, K, 1}, turned + int64_t(k) * C * K, v, false);
        }
        from_planes<InputTransposed, 1, true>(slice.v(), dx, nullptr, slice.v_stride, tiles, C);
    }
}
}
