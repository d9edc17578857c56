/* The fast path of training: the convolutional torso, forward and backward; small networks and their losses; RMSProp.
 *
 * native.py compiles this file for the machine that it runs on. Without a compiler, torch computes the same results up
 * to rounding. docs/kernels.md describes the design and the invariants. Arrays are dense float32. Activations are
 * [y][x][channel], so that a vector holds neighbouring channels.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

/* LANES: floats in a vector. The others are tile sizes, chosen so that a tile's sums stay in registers:
 * REGISTERS: sums of a convolution; PATCH_TILE: patch entries of a weight gradient; ROW_TILE, OUTPUT_TILE: rows and
 * outputs of the hidden layer; SINGLE_ROW_OUTPUTS: its outputs for one row; UNIT_TILE: units of its backward pass. */
#if defined __AVX512F__
enum {
  LANES = 16,
  REGISTERS = 24,
  PATCH_TILE = 16,
  ROW_TILE = 8,
  OUTPUT_TILE = 2,
  SINGLE_ROW_OUTPUTS = 8,
  UNIT_TILE = 8
};
#elif defined __AVX2__
enum {
  LANES = 8,
  REGISTERS = 12,
  PATCH_TILE = 8,
  ROW_TILE = 4,
  OUTPUT_TILE = 2,
  SINGLE_ROW_OUTPUTS = 8,
  UNIT_TILE = 4
};
#else
#error "no AVX2: torch is faster without it"
#endif

typedef uint32_t word __attribute__((may_alias)); /* the bits of a float, or four pixels */
typedef uint16_t pair __attribute__((may_alias)); /* two pixels */
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE vec load(const float *p) { return *(const vec *)p; }
INLINE void store(float *p, vec v) { *(vec *)p = v; }
INLINE vec zero(void) { return (vec){0}; }
INLINE vec relu(vec v) { return (vec)((__typeof__(v < 0))v & ~(v < 0)); } /* keeps NaN */
INLINE int min_int(int a, int b) { return a < b ? a : b; }
INLINE int tile_width(int outputs) { /* the fewest tiles in a row of outputs, of nearly equal width */
  int tiles = (outputs + REGISTERS - 1) / REGISTERS;
  return (outputs + tiles - 1) / tiles;
}
INLINE int any_set(const uint8_t *flags, int count) {
  int found = 0;
  for (int i = 0; i < count; i++) found |= flags[i];
  return found;
}
INLINE float sum_lanes(vec v) {
  float sum = 0;
  for (int i = 0; i < LANES; i++) sum += v[i];
  return sum;
}

INLINE int is_zero(const float *p, size_t length) {
  uint32_t bits = 0;
  for (size_t i = 0; i < length; i++) bits |= ((const word *)p)[i] << 1; /* without the sign: −0 is zero */
  return bits == 0;
}

/* A convolution without padding. The patch of an output position consists of SEGMENTS runs of RUN consecutive floats:
 * K pixels in each of K rows of each plane, or K rows of K pixels with all their channels. All functions that take a
 * Conv are inlined, so that every size is a constant. O is a multiple of LANES, and so is C of all but the first. */
typedef struct {
  int planes; /* 1: [y][x][channel]; otherwise [channel][y][x] */
  int C, H, W, O, K, S, OH, OW;
  float unit; /* of the first convolution: a pixel's value is its byte times this; 0 in others */
} Conv;

enum { MAX_SIDE = 21, MAX_POSITIONS = 20 * 20 };

#define RUN(c) ((c).planes > 1 ? (c).K : (c).K * (c).C)
#define SEGMENTS(c) ((c).planes > 1 ? (c).C * (c).K : (c).K)
#define PIXEL(c) ((c).planes > 1 ? 1 : (c).C) /* distance in floats of neighbouring pixels */
#define PATCH(c) (RUN(c) * SEGMENTS(c))
#define IN(c) ((c).C * (c).H * (c).W)
#define OUT(c) ((c).O * (c).OH * (c).OW)

INLINE int segment(Conv c, int s) {
  return c.planes > 1 ? (s / c.K) * c.H * c.W + (s % c.K) * c.W : s * c.W * c.C;
}

/* The index in torch's layout [O][C][K][K] of the weight of output o for entry i of segment s. */
INLINE int torch_index(Conv c, int o, int s, int i) {
  int channel = c.planes > 1 ? s / c.K : i % c.C;
  int ky = c.planes > 1 ? s % c.K : s, kx = c.planes > 1 ? i : i / c.C;
  return ((o * c.C + channel) * c.K + ky) * c.K + kx;
}

/* out[y][x][o] = max(0, bias + Σ weight[patch][o] · in) for `width` neighbours x and `blocks` vectors of outputs. */
INLINE void conv_tile(Conv c, const float *in, const float *w, const float *bias, float *out, int width, int blocks) {
  vec sum[REGISTERS];
  UNROLL for (int b = 0; b < blocks; b++) {
    UNROLL for (int x = 0; x < width; x++) sum[b * width + x] = load(bias + b * LANES);
  }
  for (int s = 0; s < SEGMENTS(c); s++) {
    const float *row = in + segment(c, s);
    for (int i = 0; i < RUN(c); i++, w += c.O) {
      UNROLL for (int b = 0; b < blocks; b++) {
        vec weight = load(w + b * LANES);
        UNROLL for (int x = 0; x < width; x++) sum[b * width + x] += weight * row[x * c.S * PIXEL(c) + i];
      }
    }
  }
  UNROLL for (int b = 0; b < blocks; b++) {
    UNROLL for (int x = 0; x < width; x++) store(out + x * c.O + b * LANES, relu(sum[b * width + x]));
  }
}

INLINE void conv_rows(Conv c, const float *in, const float *w, const float *bias, float *out, const uint8_t *changed,
                      int width) {
  const int blocks = min_int(c.O / LANES, REGISTERS / width >= 2 ? 2 : 1), rest = c.OW % width;
  for (int o = 0; o < c.O; o += blocks * LANES) {
    for (int y = 0; y < c.OH; y++) {
      const float *row = in + y * c.S * c.W * PIXEL(c);
      float *to = out + y * c.OW * c.O + o;
      for (int x = 0; x + width <= c.OW; x += width)
        if (!changed || any_set(changed + y * c.OW + x, width))
          conv_tile(c, row + x * c.S * PIXEL(c), w + o, bias + o, to + x * c.O, width, blocks);
      for (int x = c.OW - rest; x < c.OW; x++)
        if (!changed || changed[y * c.OW + x])
          conv_tile(c, row + x * c.S * PIXEL(c), w + o, bias + o, to + x * c.O, 1, blocks);
    }
  }
}

/* Copies the outputs `old` of another state for the same weights, and recomputes the positions in `changed`, whose
 * inputs differ; computes all positions if `changed` is NULL. */
INLINE void conv_forward(Conv c, const float *in, const float *w, const float *bias, float *out, const uint8_t *changed,
                         const float *old) {
  if (changed) {
    memcpy(out, old, OUT(c) * sizeof(float));
    conv_rows(c, in, w, bias, out, changed, c.OW % 5 == 0 ? 5 : c.OW % 3 == 0 ? 3 : c.OW);
  } else {
    conv_rows(c, in, w, bias, out, changed, tile_width(c.OW));
  }
}

/* Writes for each output position of the first convolution whether its pixels differ between two states; returns
 * whether fewer than half do, so that copying the others is worth it. It relies on K = 2 S and on S = 4 or 2: a
 * patch is two by two cells, and a row of a cell is one word or one pair. */
INLINE int find_changed(Conv c, const uint8_t *obs, const uint8_t *other, uint8_t *changed) {
  const int across = c.W / c.S, size = c.S * c.W; /* cells of S × S pixels in a row; pixels in a row of cells */
  uint8_t cells[MAX_SIDE * MAX_SIDE] = {0};
  for (int y = 0; y < c.C * across; y++, obs += size, other += size) {
    if (memcmp(obs, other, size) == 0) continue;
    const word *words = (const word *)obs, *other_words = (const word *)other;
    const pair *pairs = (const pair *)obs, *other_pairs = (const pair *)other;
    uint8_t *row = cells + y % across * across;
    for (int i = 0; i < size / c.S; i += across)
      for (int x = 0; x < across; x++)
        row[x] |= c.S == 4 ? words[i + x] != other_words[i + x] : pairs[i + x] != other_pairs[i + x];
  }
  int count = 0;
  for (int y = 0; y < c.OH; y++)
    for (int x = 0; x < c.OW; x++)
      count += changed[y * c.OW + x] = any_set(cells + y * across + x, 2) || any_set(cells + (y + 1) * across + x, 2);
  return 2 * count < c.OH * c.OW;
}

/* The same for a later convolution, from the changed positions of its input. */
INLINE int spread_changed(Conv c, const uint8_t *in, uint8_t *changed) {
  int count = 0;
  for (int y = 0; y < c.OH; y++) {
    for (int x = 0; x < c.OW; x++) {
      int is_changed = 0;
      for (int k = 0; k < c.K; k++) is_changed |= any_set(in + (y * c.S + k) * c.W + x * c.S, c.K);
      count += changed[y * c.OW + x] = is_changed;
    }
  }
  return 2 * count < c.OH * c.OW;
}

/* The output positions of one image that have a gradient. */
typedef struct {
  int count, in[MAX_POSITIONS], out[MAX_POSITIONS]; /* offsets in floats of a position's patch and of its outputs */
} Positions;

INLINE void find_positions(Conv c, const float *grad, Positions *positions) {
  positions->count = 0;
  for (int y = 0; y < c.OH; y++) {
    for (int x = 0; x < c.OW; x++) {
      const int out = (y * c.OW + x) * c.O;
      positions->in[positions->count] = (y * c.S * c.W + x * c.S) * PIXEL(c);
      positions->out[positions->count] = out;
      positions->count += !is_zero(grad + out, c.O);
    }
  }
}

/* dw[patch][o] += Σ in · grad over one image, for `deep` entries of a patch and `blocks` vectors of outputs. */
INLINE void weights_tile(Conv c, const float *in, const float *grad, const Positions *positions, float *dw, int entries,
                         int blocks) {
  vec sum[REGISTERS];
  UNROLL for (int k = 0; k < entries * blocks; k++) sum[k] = zero();
  for (int p = 0; p < positions->count; p++) {
    const float *patch = in + positions->in[p], *g = grad + positions->out[p];
    UNROLL for (int b = 0; b < blocks; b++) {
      vec gradient = load(g + b * LANES);
      UNROLL for (int k = 0; k < entries; k++) sum[b * entries + k] += gradient * patch[k];
    }
  }
  UNROLL for (int b = 0; b < blocks; b++) {
    UNROLL for (int k = 0; k < entries; k++) {
      float *to = dw + k * c.O + b * LANES;
      store(to, load(to) + sum[b * entries + k]); /* summing per image first rounds less than one long sum */
    }
  }
}

/* The same for the whole patch and all outputs; and db[o] += Σ grad. */
INLINE void conv_backward_weights(Conv c, const float *in, const float *grad, const Positions *positions, float *dw,
                                  float *db) {
  const int blocks = c.O % (2 * LANES) ? 1 : 2, entries = min_int(RUN(c), PATCH_TILE / blocks); /* it divides RUN */
  for (int o = 0; o < c.O; o += blocks * LANES) {
    for (int s = 0; s < SEGMENTS(c); s++)
      for (int i = 0; i < RUN(c); i += entries)
        weights_tile(c, in + segment(c, s) + i, grad + o, positions, dw + (s * RUN(c) + i) * c.O + o, entries, blocks);
    for (int b = 0; b < blocks; b++) {
      vec sum = load(db + o + b * LANES);
      for (int p = 0; p < positions->count; p++) sum += load(grad + positions->out[p] + o + b * LANES);
      store(db + o + b * LANES, sum);
    }
  }
}

/* din[y][x][c] += Σ weight[ky][kx][o][c] · grad, over one image; in is [y][x][channel]. */
INLINE void conv_backward_tile(Conv c, const float *w, const float *grad, float *din, int width) {
  vec sum[REGISTERS];
  UNROLL for (int x = 0; x < width; x++) sum[x] = load(din + x * c.S * c.C);
  for (int o = 0; o < c.O; o++) {
    vec weight = load(w + o * c.C);
    UNROLL for (int x = 0; x < width; x++) sum[x] += weight * grad[x * c.O + o];
  }
  UNROLL for (int x = 0; x < width; x++) store(din + x * c.S * c.C, sum[x]);
}

INLINE void conv_backward_input(Conv c, const float *w, const float *grad, float *din) {
  const int width = tile_width(c.OW);
  for (int k = 0; k < c.K * c.K; k++) {
    for (int channel = 0; channel < c.C; channel += LANES) {
      const float *weight = w + k * c.O * c.C + channel;
      for (int y = 0; y < c.OH; y++) {
        const float *g = grad + y * c.OW * c.O;
        float *to = din + ((y * c.S + k / c.K) * c.W + k % c.K) * c.C + channel;
        int x = 0;
        for (; x + width <= c.OW; x += width) conv_backward_tile(c, weight, g + x * c.O, to + x * c.S * c.C, width);
        for (; x < c.OW; x++) conv_backward_tile(c, weight, g + x * c.O, to + x * c.S * c.C, 1);
      }
    }
  }
}

/* [O][C][K][K] → [patch][O] */
INLINE void pack(Conv c, const float *w, float *packed) {
  for (int s = 0; s < SEGMENTS(c); s++)
    for (int i = 0; i < RUN(c); i++)
      for (int o = 0; o < c.O; o++) *packed++ = w[torch_index(c, o, s, i)];
}

/* [O][C][K][K] → [ky][kx][O][C] */
INLINE void pack_transposed(Conv c, const float *w, float *packed) {
  for (int k = 0; k < c.K * c.K; k++)
    for (int o = 0; o < c.O; o++)
      for (int channel = 0; channel < c.C; channel++) *packed++ = w[(o * c.C + channel) * c.K * c.K + k];
}

INLINE void add_unpacked(Conv c, const float *packed, float *dw) {
  for (int s = 0; s < SEGMENTS(c); s++)
    for (int i = 0; i < RUN(c); i++)
      for (int o = 0; o < c.O; o++) dw[torch_index(c, o, s, i)] += *packed++;
}

/* The hidden layer, D → F, rectified. D is a multiple of 32, F of SINGLE_ROW_OUTPUTS, and N F of LANES. About four in
 * ten vectors of its input are zero. Their weights are not read, so that a NaN among these weights has no effect; in
 * torch it has. */

/* CHUNK: vectors of a row that are processed at a time, so that those of ROW_TILE rows fit the first cache */
enum { CHUNK = 768 / LANES, MAX_INPUTS = 64 * 7 * 7 };

/* Writes the offsets in a row of the vectors that are not zero in all of N rows; returns their number. */
static int find_columns(int N, int D, const float *in, int *columns) {
  uint8_t used[MAX_INPUTS / LANES] = {0};
  for (int n = 0; n < N; n++)
    for (int i = 0; i < D / LANES; i++) used[i] = used[i] || !is_zero(in + (size_t)n * D + i * LANES, LANES);
  int count = 0;
  for (int i = 0; i < D / LANES; i++)
    if (used[i]) columns[count++] = i * LANES;
  return count;
}

INLINE void dense_tile(int D, int F, const float *in, const float *w, float *out, const int *columns, int count,
                       int rows, int outputs) {
  vec sum[ROW_TILE * OUTPUT_TILE > SINGLE_ROW_OUTPUTS ? ROW_TILE * OUTPUT_TILE : SINGLE_ROW_OUTPUTS];
  for (int f = 0; f < F; f += outputs) {
    UNROLL for (int i = 0; i < rows * outputs; i++) sum[i] = zero();
    for (int i = 0; i < count; i++) {
      UNROLL for (int j = 0; j < outputs; j++) {
        const float *from = w + (size_t)(f + j) * D + columns[i];
        /* the columns have gaps, so that the processor does not prefetch the next rows by itself */
        if (rows == ROW_TILE) __builtin_prefetch(from + (size_t)outputs * D);
        vec weight = load(from);
        UNROLL for (int r = 0; r < rows; r++) sum[r * outputs + j] += weight * load(in + (size_t)r * D + columns[i]);
      }
    }
    UNROLL for (int r = 0; r < rows; r++) {
      UNROLL for (int j = 0; j < outputs; j++) out[r * F + f + j] += sum_lanes(sum[r * outputs + j]);
    }
  }
}

static void dense_forward(int N, int D, int F, const float *in, const float *w, const float *bias, float *out) {
  int columns[MAX_INPUTS / LANES];
  const int count = find_columns(N, D, in, columns), chunk = N < ROW_TILE ? count : CHUNK;
  for (int n = 0; n < N; n++) memcpy(out + (size_t)n * F, bias, F * sizeof(float));
  for (int start = 0; start < count; start += chunk) {
    const int *at = columns + start, vectors = min_int(chunk, count - start);
    int n = 0;
    for (; n + ROW_TILE <= N; n += ROW_TILE)
      dense_tile(D, F, in + (size_t)n * D, w, out + (size_t)n * F, at, vectors, ROW_TILE, OUTPUT_TILE);
    for (; n + 2 <= N; n += 2)
      dense_tile(D, F, in + (size_t)n * D, w, out + (size_t)n * F, at, vectors, 2, SINGLE_ROW_OUTPUTS / 2);
    for (; n < N; n++)
      dense_tile(D, F, in + (size_t)n * D, w, out + (size_t)n * F, at, vectors, 1, SINGLE_ROW_OUTPUTS);
  }
  for (size_t i = 0; i < (size_t)N * F; i += LANES) store(out + i, relu(load(out + i)));
}

/* Writes the units out of F that have a gradient in any of N states; returns their number. */
static int find_active(int N, int F, const float *grad, int *active) {
  int count = 0;
  for (int f = 0; f < F; f++) {
    int is_active = 0;
    for (int n = 0; n < N; n++) is_active |= grad[(size_t)n * F + f] != 0;
    active[count] = f;
    count += is_active;
  }
  return count;
}

/* dw[f][d] += Σ_n grad[n][f] · in[n][d], for `units` f */
INLINE void dense_weights_tile(int N, int D, int F, const int *f, const float *in, const float *grad, float *dw,
                               int units) {
  for (int d = 0; d < D; d += 2 * LANES) {
    vec sum[2 * UNIT_TILE];
    UNROLL for (int j = 0; j < units; j++) {
      UNROLL for (int b = 0; b < 2; b++) sum[j * 2 + b] = load(dw + (size_t)f[j] * D + d + b * LANES);
    }
    for (int n = 0; n < N; n++) {
      UNROLL for (int b = 0; b < 2; b++) {
        vec x = load(in + (size_t)n * D + d + b * LANES);
        UNROLL for (int j = 0; j < units; j++) sum[j * 2 + b] += x * grad[(size_t)n * F + f[j]];
      }
    }
    UNROLL for (int j = 0; j < units; j++) {
      UNROLL for (int b = 0; b < 2; b++) store(dw + (size_t)f[j] * D + d + b * LANES, sum[j * 2 + b]);
    }
  }
}

static void dense_backward_weights(int N, int D, int F, const int *active, int count, const float *in,
                                   const float *grad, float *dw, float *db) {
  int i = 0;
  for (; i + UNIT_TILE <= count; i += UNIT_TILE) dense_weights_tile(N, D, F, active + i, in, grad, dw, UNIT_TILE);
  for (; i < count; i++) dense_weights_tile(N, D, F, active + i, in, grad, dw, 1);
  for (int n = 0; n < N; n++)
    for (int f = 0; f < F; f++) db[f] += grad[(size_t)n * F + f];
}

/* din[n][d] += Σ_f grad[n][f] · w[f][d], for `rows` n and `units` f */
INLINE void dense_input_tile(int D, int F, const int *f, const float *w, const float *grad, float *din, int rows,
                             int units) {
  for (int d = 0; d < D; d += LANES) {
    vec weight[UNIT_TILE];
    UNROLL for (int j = 0; j < units; j++) weight[j] = load(w + (size_t)f[j] * D + d);
    UNROLL for (int r = 0; r < rows; r++) {
      vec sum = load(din + (size_t)r * D + d);
      UNROLL for (int j = 0; j < units; j++) sum += weight[j] * grad[r * F + f[j]];
      store(din + (size_t)r * D + d, sum);
    }
  }
}

INLINE void dense_input_rows(int D, int F, const int *active, int count, const float *w, const float *grad, float *din,
                             int rows) {
  int i = 0;
  for (; i + UNIT_TILE <= count; i += UNIT_TILE) dense_input_tile(D, F, active + i, w, grad, din, rows, UNIT_TILE);
  for (; i < count; i++) dense_input_tile(D, F, active + i, w, grad, din, rows, 1);
}

static void dense_backward_input(int N, int D, int F, const int *active, int count, const float *w, const float *grad,
                                 float *din) {
  memset(din, 0, sizeof(float) * N * D);
  int n = 0;
  for (; n + 4 <= N; n += 4)
    dense_input_rows(D, F, active, count, w, grad + (size_t)n * F, din + (size_t)n * D, 4);
  for (; n < N; n++) dense_input_rows(D, F, active, count, w, grad + (size_t)n * F, din + (size_t)n * D, 1);
}

/* The torsos: one to three convolutions and a hidden layer.
 *
 * obs is [N][C][H][W] of bytes; parameters are the weight and the bias of each layer, in torch's layouts. forward writes what
 * backward needs: activations [N][those of each convolution in turn], flat [N][D], the last of them in torch's order
 * [channel][y][x], and features [N][F].
 *
 * rows_per_step: the state that many rows before a row, in all arrays, is of the same weights and probably similar: the
 * same game's previous state. 0: unknown; then nothing is copied. */

enum { MAX_PIXELS = 4 * 84 * 84, MAX_WEIGHTS = 64 * 64 * 9, MAX_ACTIVATIONS = 32 * 20 * 20, MAX_UNITS = 512 };

typedef struct {
  float w1[MAX_WEIGHTS], w2[MAX_WEIGHTS], w3[MAX_WEIGHTS], dw1[MAX_WEIGHTS], dw2[MAX_WEIGHTS], dw3[MAX_WEIGHTS];
  float g1[MAX_ACTIVATIONS], g2[MAX_ACTIVATIONS], g3[MAX_ACTIVATIONS], image[MAX_PIXELS];
} Scratch;

/* Returns the buffers of this thread. The empty asm hides the address from the compiler, which otherwise looks up the
 * thread-local address in the innermost loops. */
INLINE Scratch *scratch(void) {
  static _Thread_local Scratch buffers;
  Scratch *opaque = &buffers;
  __asm__("" : "+r"(opaque));
  return opaque;
}

/* Converts the pixels that the rows of outputs in `rows` read to floats; other pixels of `image` stay undefined. */
INLINE void scale(Conv c, const uint8_t *obs, const uint8_t *rows, float *image) {
  for (int y = 0; y < c.H / c.S; y++) {
    int is_read = 0;
    for (int row = y - c.K / c.S + 1; row <= y; row++) is_read |= row >= 0 && row < c.OH && rows[row];
    if (!is_read) continue;
    for (int plane = 0; plane < c.C; plane++) {
      const int start = (plane * c.H + y * c.S) * c.W;
      for (int i = start; i < start + c.S * c.W; i++) image[i] = (float)obs[i] * c.unit;
    }
  }
}

INLINE void planes_from_pixels(Conv c, const float *a, float *flat) {
  for (int o = 0; o < c.O; o++)
    for (int p = 0; p < c.OH * c.OW; p++) flat[o * c.OH * c.OW + p] = a[p * c.O + o];
}

/* Converts a gradient back to [y][x][channel] and through the rectifier. */
INLINE void pixels_from_planes(Conv c, const float *flat, const float *a, float *grad) {
  for (int p = 0; p < c.OH * c.OW; p++)
    for (int o = 0; o < c.O; o++) grad[p * c.O + o] = a[p * c.O + o] <= 0 ? 0 : flat[o * c.OH * c.OW + p];
}

/* Writes the changed output positions of each convolution between two states; returns for how many convolutions, from
 * the first, copying the unchanged positions is worth it. */
INLINE int find_reusable(Conv one, Conv two, Conv three, int layers, const uint8_t *obs, const uint8_t *other,
                         uint8_t changed[3][MAX_POSITIONS]) {
  if (layers == 1) return 0; /* a small torso is computed sooner than compared */
  if (!find_changed(one, obs, other, changed[0])) return 0;
  if (!spread_changed(two, changed[0], changed[1])) return 1;
  return 2 + (layers == 3 && spread_changed(three, changed[1], changed[2]));
}

INLINE void forward(Conv one, Conv two, Conv three, int layers, int F, int N, size_t rows_per_step, const uint8_t *obs,
                    const float *const *parameters, float *activations, float *flat, float *features) {
  Scratch *buffers = scratch();
  float *w1 = buffers->w1, *w2 = buffers->w2, *w3 = buffers->w3, *image = buffers->image;
  const Conv last = layers == 3 ? three : layers == 2 ? two : one;
  const size_t stride = OUT(one) + (layers >= 2 ? OUT(two) : 0) + (layers == 3 ? OUT(three) : 0), D = OUT(last);
  uint8_t changed[3][MAX_POSITIONS];
  pack(one, parameters[0], w1);
  if (layers >= 2) pack(two, parameters[2], w2);
  if (layers == 3) pack(three, parameters[4], w3);
  for (int n = 0; n < N; n++) {
    float *a1 = activations + n * stride, *a2 = a1 + OUT(one), *a3 = a2 + OUT(two);
    const uint8_t *frames = obs + (size_t)n * IN(one);
    const uint8_t *previous = frames - rows_per_step * IN(one);
    const int reusable = rows_per_step ? find_reusable(one, two, three, layers, frames, previous, changed) : 0;
    const size_t back = rows_per_step * stride;
    uint8_t rows[MAX_SIDE];
    for (int y = 0; y < one.OH; y++) rows[y] = reusable < 1 || any_set(changed[0] + y * one.OW, one.OW);
    scale(one, frames, rows, image);
    conv_forward(one, image, w1, parameters[1], a1, reusable >= 1 ? changed[0] : NULL, a1 - back);
    if (layers >= 2) conv_forward(two, a1, w2, parameters[3], a2, reusable >= 2 ? changed[1] : NULL, a2 - back);
    if (layers == 3) conv_forward(three, a2, w3, parameters[5], a3, reusable >= 3 ? changed[2] : NULL, a3 - back);
    planes_from_pixels(last, layers == 3 ? a3 : layers == 2 ? a2 : a1, flat + n * D);
  }
  dense_forward(N, D, F, flat, parameters[2 * layers], parameters[2 * layers + 1], features);
}

/* Where the last convolution reads the same pixels in a state and in an earlier one, the rest of backward is the same
 * linear map for both gradients: `grad` is added to the earlier state's gradient `to`, and set to zero. */
INLINE void move_gradients(Conv one, Conv two, Conv three, int layers, const uint8_t *obs, const uint8_t *earlier,
                           float *grad, float *to) {
  uint8_t all[3][MAX_POSITIONS], *changed = all[layers - 1];
  const Conv last = layers == 3 ? three : two;
  if (find_reusable(one, two, three, layers, obs, earlier, all) < layers) return;
  for (int o = 0; o < last.O; o++) {
    for (int p = 0; p < last.OH * last.OW; p++) {
      float *from = grad + o * last.OH * last.OW + p;
      to[o * last.OH * last.OW + p] += changed[p] ? 0 : *from;
      *from = changed[p] ? *from : 0;
    }
  }
}

/* Adds to the gradients of all parameters. work is a buffer [N][F + D]. The first rows_per_step rows have no earlier
 * state in this call. Rows are processed from the last to the first, so that a moved gradient moves on. */
INLINE void backward(Conv one, Conv two, Conv three, int layers, int F, int N, size_t rows_per_step, const uint8_t *obs,
                     const float *const *parameters, const float *activations, const float *flat,
                     const float *features, const float *grad, float *const *gradients, float *work) {
  Scratch *buffers = scratch();
  float *w2 = buffers->w2, *w3 = buffers->w3, *image = buffers->image;
  float *dw1 = buffers->dw1, *dw2 = buffers->dw2, *dw3 = buffers->dw3;
  float *g1 = buffers->g1, *g2 = buffers->g2, *g3 = buffers->g3;
  const Conv last = layers == 3 ? three : layers == 2 ? two : one;
  const size_t stride = OUT(one) + (layers >= 2 ? OUT(two) : 0) + (layers == 3 ? OUT(three) : 0), D = OUT(last);
  float *g = work, *dflat = work + (size_t)N * F;
  for (size_t i = 0; i < (size_t)N * F; i++) g[i] = features[i] <= 0 ? 0 : grad[i];
  int active[MAX_UNITS];
  const int count = find_active(N, F, g, active);
  dense_backward_weights(N, D, F, active, count, flat, g, gradients[2 * layers], gradients[2 * layers + 1]);
  dense_backward_input(N, D, F, active, count, parameters[2 * layers], g, dflat);
  memset(dw1, 0, sizeof(float) * PATCH(one) * one.O);
  if (layers >= 2) {
    memset(dw2, 0, sizeof(float) * PATCH(two) * two.O);
    pack_transposed(two, parameters[2], w2);
  }
  if (layers == 3) {
    memset(dw3, 0, sizeof(float) * PATCH(three) * three.O);
    pack_transposed(three, parameters[4], w3);
  }
  Positions positions;
  uint8_t rows[MAX_SIDE];
  memset(rows, 1, one.OH);
  for (int n = N - 1; n >= 0; n--) {
    const float *a1 = activations + n * stride, *a2 = a1 + OUT(one), *a3 = a2 + OUT(two);
    const uint8_t *frames = obs + (size_t)n * IN(one);
    if (rows_per_step && (size_t)n >= rows_per_step)
      move_gradients(one, two, three, layers, frames, frames - rows_per_step * IN(one), dflat + n * D,
                     dflat + (n - rows_per_step) * D);
    if (layers == 3) {
      pixels_from_planes(three, dflat + n * D, a3, g3);
      find_positions(three, g3, &positions);
      conv_backward_weights(three, a2, g3, &positions, dw3, gradients[5]);
      memset(g2, 0, OUT(two) * sizeof(float));
      conv_backward_input(three, w3, g3, g2);
      for (int i = 0; i < OUT(two); i++) g2[i] = a2[i] <= 0 ? 0 : g2[i];
    } else if (layers == 2) {
      pixels_from_planes(two, dflat + n * D, a2, g2);
    }
    if (layers >= 2) {
      find_positions(two, g2, &positions);
      conv_backward_weights(two, a1, g2, &positions, dw2, gradients[3]);
      memset(g1, 0, OUT(one) * sizeof(float));
      conv_backward_input(two, w2, g2, g1);
      for (int i = 0; i < OUT(one); i++) g1[i] = a1[i] <= 0 ? 0 : g1[i];
    } else {
      pixels_from_planes(one, dflat + n * D, a1, g1);
    }
    scale(one, frames, rows, image);
    find_positions(one, g1, &positions);
    conv_backward_weights(one, image, g1, &positions, dw1, gradients[1]);
  }
  add_unpacked(one, dw1, gradients[0]);
  if (layers >= 2) add_unpacked(two, dw2, gradients[2]);
  if (layers == 3) add_unpacked(three, dw3, gradients[4]);
}

#define TORSO(name, one, two, three, layers, F)                                                                        \
  void name##_forward(int N, size_t rows_per_step, const uint8_t *obs, const float *const *parameters,                 \
                      float *activations, float *flat, float *features) {                                              \
    forward(one, two, three, layers, F, N, rows_per_step, obs, parameters, activations, flat, features);               \
  }                                                                                                                    \
  void name##_backward(int N, size_t rows_per_step, const uint8_t *obs, const float *const *parameters,                \
                       const float *activations, const float *flat, const float *features, const float *grad,          \
                       float *const *gradients, float *work) {                                                         \
    backward(one, two, three, layers, F, N, rows_per_step, obs, parameters, activations, flat, features, grad,         \
             gradients, work);                                                                                         \
  }

#define BYTE (1 / 255.0f) /* pixels of frames; planes hold 0 and 1 */

/*                            planes  C   H   W   O   K  S  OH  OW */
static const Conv nips_one = {4, 4, 84, 84, 16, 8, 4, 20, 20, BYTE}, nips_two = {1, 16, 20, 20, 32, 4, 2, 9, 9};
static const Conv nature_one = {4, 4, 84, 84, 32, 8, 4, 20, 20, BYTE}, nature_two = {1, 32, 20, 20, 64, 4, 2, 9, 9};
static const Conv nature_three = {1, 64, 9, 9, 64, 3, 1, 7, 7};
static const Conv compact_one = {4, 4, 42, 42, 32, 4, 2, 20, 20, BYTE}, compact_two = {1, 32, 20, 20, 64, 4, 2, 9, 9};
static const Conv compact_three = {1, 64, 9, 9, 64, 3, 2, 4, 4};
static const Conv minatar_4 = {4, 4, 10, 10, 16, 3, 1, 8, 8, 1}, minatar_6 = {6, 6, 10, 10, 16, 3, 1, 8, 8, 1};
static const Conv minatar_7 = {7, 7, 10, 10, 16, 3, 1, 8, 8, 1}, minatar_10 = {10, 10, 10, 10, 16, 3, 1, 8, 8, 1};

TORSO(nips, nips_one, nips_two, nips_two, 2, 256)
TORSO(nature, nature_one, nature_two, nature_three, 3, 512)
TORSO(compact, compact_one, compact_two, compact_three, 3, 512)
TORSO(minatar_4, minatar_4, minatar_4, minatar_4, 1, 128)
TORSO(minatar_6, minatar_6, minatar_6, minatar_6, 1, 128)
TORSO(minatar_7, minatar_7, minatar_7, minatar_7, 1, 128)
TORSO(minatar_10, minatar_10, minatar_10, minatar_10, 1, 128)

/* Whole networks for small states: a torso, and linear layers side by side that read its features. For these, calling
 * torch's operations takes longer than computing. One call evaluates or differentiates a network, another a loss. */

enum { MAX_LAYERS = 4 };

typedef struct {
  int torso;                            /* 0: a hidden layer for float32 vectors; otherwise MinAtar's number of planes */
  int inputs, hidden;                   /* D of vectors; F */
  int heads, outputs[2];                /* linear layers after the torso, and the outputs of each; a row has all */
  const float *parameters[2 * MAX_LAYERS]; /* weight and bias of each layer, in torch's layouts */
  float *gradients[2 * MAX_LAYERS];
  float *activations, *flat, *features, *grad_features, *work; /* of the rows of the last call of network_forward */
} Network;

INLINE float dot(const float *a, const float *b, int length) {
  vec sums = zero();
  int i = 0;
  for (; i + LANES <= length; i += LANES) sums += load(a + i) * load(b + i);
  float sum = sum_lanes(sums);
  for (; i < length; i++) sum += a[i] * b[i];
  return sum;
}

/* y += a x */
INLINE void add_scaled(float *restrict y, float a, const float *restrict x, int length) {
  for (int i = 0; i < length; i++) y[i] += a * x[i];
}

/* Writes outputs [N][all outputs] for N states. */
void network_forward(const Network *net, int N, const void *obs, float *outputs) {
  const int F = net->hidden, D = net->inputs, first = net->torso ? 4 : 2;
  const float *const *parameters = net->parameters;
  switch (net->torso) {
    case 4: minatar_4_forward(N, 0, obs, parameters, net->activations, net->flat, net->features); break;
    case 6: minatar_6_forward(N, 0, obs, parameters, net->activations, net->flat, net->features); break;
    case 7: minatar_7_forward(N, 0, obs, parameters, net->activations, net->flat, net->features); break;
    case 10: minatar_10_forward(N, 0, obs, parameters, net->activations, net->flat, net->features); break;
    default:
      for (int f = 0; f < F; f++) {
        for (int n = 0; n < N; n++) {
          const float sum = parameters[1][f] + dot((const float *)obs + (size_t)n * D, parameters[0] + (size_t)f * D, D);
          net->features[(size_t)n * F + f] = sum < 0 ? 0 : sum; /* keeps NaN */
        }
      }
  }
  const int row = net->outputs[0] + (net->heads > 1 ? net->outputs[1] : 0);
  for (int h = 0, start = 0; h < net->heads; start += net->outputs[h++])
    for (int j = 0; j < net->outputs[h]; j++)
      for (int n = 0; n < N; n++)
        outputs[(size_t)n * row + start + j] =
            parameters[first + 2 * h + 1][j] +
            dot(net->features + (size_t)n * F, parameters[first + 2 * h] + (size_t)j * F, F);
}

/* Adds to the gradients of all parameters, for the first N states of the last call of network_forward. */
void network_backward(const Network *net, int N, const void *obs, const float *grad_outputs) {
  const int F = net->hidden, D = net->inputs, first = net->torso ? 4 : 2;
  const int row = net->outputs[0] + (net->heads > 1 ? net->outputs[1] : 0);
  const float *const *parameters = net->parameters;
  float *const *gradients = net->gradients;
  memset(net->grad_features, 0, sizeof(float) * N * F);
  for (int h = 0, start = 0; h < net->heads; start += net->outputs[h++]) {
    for (int n = 0; n < N; n++) {
      for (int j = 0; j < net->outputs[h]; j++) {
        const float grad = grad_outputs[(size_t)n * row + start + j];
        if (grad == 0) continue;
        gradients[first + 2 * h + 1][j] += grad;
        add_scaled(gradients[first + 2 * h] + (size_t)j * F, grad, net->features + (size_t)n * F, F);
        add_scaled(net->grad_features + (size_t)n * F, grad, parameters[first + 2 * h] + (size_t)j * F, F);
      }
    }
  }
#define BACKWARD(planes)                                                                                      \
  minatar_##planes##_backward(N, 0, obs, parameters, net->activations, net->flat, net->features, net->grad_features, \
                              gradients, net->work)
  switch (net->torso) {
    case 4: BACKWARD(4); break;
    case 6: BACKWARD(6); break;
    case 7: BACKWARD(7); break;
    case 10: BACKWARD(10); break;
    default:
      for (int n = 0; n < N; n++) {
        for (int f = 0; f < F; f++) {
          const float grad = net->features[(size_t)n * F + f] <= 0 ? 0 : net->grad_features[(size_t)n * F + f];
          if (grad == 0) continue;
          gradients[1][f] += grad;
          add_scaled(gradients[0] + (size_t)f * D, grad, (const float *)obs + (size_t)n * D, D);
        }
      }
  }
}

/* log π of n logits; returns the entropy */
INLINE float log_softmax(int n, const float *logits, float *log_pi) {
  float most = logits[0], sum = 0, entropy = 0;
  for (int k = 1; k < n; k++) most = logits[k] > most ? logits[k] : most;
  for (int k = 0; k < n; k++) sum += expf(logits[k] - most);
  const float shift = most + logf(sum);
  for (int k = 0; k < n; k++) {
    log_pi[k] = logits[k] - shift;
    entropy -= expf(log_pi[k]) * log_pi[k];
  }
  return entropy;
}

/* Draws actions for N states from the policies whose logits are all outputs but the last: the largest π / race, where
 * race [N][n] is drawn from an exponential distribution. outputs [N][n + 1] is a buffer. */
void network_sample(const Network *net, int N, const void *obs, const float *race, float *outputs, int64_t *action) {
  const int n = net->outputs[0];
  float log_pi[n];
  network_forward(net, N, obs, outputs);
  for (int i = 0; i < N; i++) {
    log_softmax(n, outputs + (size_t)i * (n + 1), log_pi);
    float most = -1;
    action[i] = 0;
    for (int k = 0; k < n; k++) {
      const float value = expf(log_pi[k]) / race[(size_t)i * n + k];
      if (value > most) most = value, action[i] = k;
    }
  }
}

/* Writes for N states the action with the largest output or, where uniform [N] is below ε, another one, any [N].
 * outputs [N][n] is a buffer. As in torch, NaN is the largest. */
void network_explore(const Network *net, int N, const void *obs, int rates, const float *epsilon, const float *uniform,
                     const int64_t *any, float *outputs, int64_t *action) {
  const int n = net->outputs[0];
  network_forward(net, N, obs, outputs);
  for (int i = 0; i < N; i++) {
    const float *q = outputs + (size_t)i * n;
    int best = 0;
    for (int k = 1; k < n && !isnan(q[best]); k++)
      if (q[k] > q[best] || isnan(q[k])) best = k;
    action[i] = uniform[i] < epsilon[rates > 1 ? i : 0] ? any[i] : best;
  }
}

/* The loss of A3C (learners/a3c.py) over T steps of B environments, its gradient [T B][n + 1] with respect to outputs
 * [(T + 1) B][n + 1], which are logits and a value; sums: the loss, the entropies, the values. */
void a3c_loss(int T, int B, int n, const float *outputs, const int64_t *action, const float *reward,
              const float *discount, float beta, float value_weight, float *grad, double *sums) {
  const int row = n + 1;
  float log_pi[n];
  sums[0] = sums[1] = sums[2] = 0;
  for (int b = 0; b < B; b++) {
    float R = outputs[((size_t)T * B + b) * row + n];
    for (int i = T - 1; i >= 0; i--) {
      const size_t at = (size_t)i * B + b;
      const float *output = outputs + at * row;
      float *to = grad + at * row;
      R = reward[at] + discount[at] * R;
      const float V = output[n], advantage = R - V, H = log_softmax(n, output, log_pi);
      for (int k = 0; k < n; k++) {
        const float pi = expf(log_pi[k]);
        /* of −log π(a|s) A, where A is constant, and of −β H */
        to[k] = advantage * (pi - (k == action[at])) + beta * pi * (log_pi[k] + H);
      }
      to[n] = -value_weight * advantage;
      sums[0] += value_weight * 0.5f * advantage * advantage - log_pi[action[at]] * advantage - beta * H;
      sums[1] += H;
      sums[2] += V;
    }
  }
}

/* The sum of (target − Q(s, a))² over N states, its gradient [N][n]; sums: the loss, |target − Q(s, a)|, all of Q. */
void squared_error(int N, int n, const float *q, const int64_t *action, const float *target, float *grad,
                   double *sums) {
  sums[0] = sums[1] = sums[2] = 0;
  memset(grad, 0, sizeof(float) * N * n);
  for (int i = 0; i < N; i++) {
    const size_t at = (size_t)i * n + action[i];
    const float error = target[i] - q[at];
    grad[at] = -2 * error;
    sums[0] += error * error;
    sums[1] += fabsf(error);
    for (int k = 0; k < n; k++) sums[2] += q[(size_t)i * n + k];
  }
}

enum { CACHE_LINE = 16, PREFETCH = 32 * CACHE_LINE }; /* floats in a cache line; distance of prefetches in floats */

/* g ← αg + (1−α)Δθ²; θ ← θ − ηΔθ/√(g+ε), in one pass over vectors of P floats that other workers update at the same
 * time, without a lock. Many cache lines are owned by the cores of other workers: a line is prefetched for writing long
 * before its write, which would otherwise wait for it. Most lines have no gradient, since their units were not active;
 * θ of such a line does not change and is neither read nor written. */
void rmsprop(size_t P, float *theta, float *g, const float *grad, float lr, float alpha, float one_minus_alpha,
             float eps) {
  for (size_t start = 0; start < P; start += CACHE_LINE) {
    const size_t end = P - start < CACHE_LINE ? P : start + CACHE_LINE, later = start + PREFETCH;
    __builtin_prefetch(g + later, 1);
    if (later + CACHE_LINE <= P && !is_zero(grad + later, CACHE_LINE)) __builtin_prefetch(theta + later, 1);
    if (is_zero(grad + start, end - start)) {
      for (size_t i = start; i < end; i++) g[i] *= alpha;
      continue;
    }
    for (size_t i = start; i < end; i++) {
      g[i] = alpha * g[i] + one_minus_alpha * grad[i] * grad[i];
      theta[i] -= lr * grad[i] / sqrtf(g[i] + eps);
    }
  }
}
