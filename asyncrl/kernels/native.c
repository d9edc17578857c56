/* The two hot loops of training on frames: the convolutional torso, forward and backward, and shared RMSProp.
 *
 * native.py compiles this for the machine it runs on, where there is a compiler; torch does the same, to rounding,
 * where there is none. Arrays are dense float32. Activations are [y][x][channel], so that a vector holds neighbouring
 * channels.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 32")

/* Floats in a vector, and how much of a tile stays in registers: a convolution's sums, the sides of other tiles. */
#if defined __AVX512F__
enum { LANES = 16, REGISTERS = 24, DEEP = 16, ROWS = 8, OUTPUTS = 2, ALONE = 8, BLOCK = 8 };
#elif defined __AVX2__
enum { LANES = 8, REGISTERS = 12, DEEP = 8, ROWS = 4, OUTPUTS = 2, ALONE = 8, BLOCK = 4 };
#else
#error "no AVX2, without which torch is faster"
#endif

typedef uint32_t word __attribute__((may_alias)); /* of a float's bits */
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

INLINE vec load(const float *p) { return *(const vec *)p; }
INLINE void store(float *p, vec v) { *(vec *)p = v; }
INLINE vec zero(void) { return (vec){0}; }
INLINE vec relu(vec v) { return (vec)((__typeof__(v < 0))v & ~(v < 0)); } /* a NaN stays one */
INLINE int least(int a, int b) { return a < b ? a : b; }
INLINE int even(int outputs) { /* of tiles that a row is cut into: as wide as can be, and as equal */
  int tiles = (outputs + REGISTERS - 1) / REGISTERS;
  return (outputs + tiles - 1) / tiles;
}
INLINE int any(const uint8_t *flags, int count) {
  int found = 0;
  for (int i = 0; i < count; i++) found |= flags[i];
  return found;
}
INLINE float total(vec v) {
  float sum = 0;
  for (int i = 0; i < LANES; i++) sum += v[i];
  return sum;
}

INLINE int is_zero(const float *p, size_t length) {
  uint32_t bits = 0;
  for (size_t i = 0; i < length; i++) bits |= ((const word *)p)[i] << 1; /* the sign does not count */
  return bits == 0;
}

/* A convolution reads, for each output, SEGMENTS runs of RUN floats: rows of K pixels of each plane of an image, or K
 * rows of K pixels with all their channels. Every size is a constant where this is inlined. */
typedef struct {
  int planes; /* 1: [y][x][channel]; otherwise [channel][y][x] */
  int C, H, W, O, K, S, OH, OW;
} Conv;

enum { ACROSS_MOST = 21, PLACES_MOST = 20 * 20 };

#define RUN(c) ((c).planes > 1 ? (c).K : (c).K * (c).C)
#define SEGMENTS(c) ((c).planes > 1 ? (c).C * (c).K : (c).K)
#define PIXEL(c) ((c).planes > 1 ? 1 : (c).C) /* floats from a pixel to the next */
#define PATCH(c) (RUN(c) * SEGMENTS(c))
#define OUT(c) ((c).O * (c).OH * (c).OW)

INLINE int segment(Conv c, int s) {
  return c.planes > 1 ? (s / c.K) * c.H * c.W + (s % c.K) * c.W : s * c.W * c.C;
}

/* Where torch keeps, in [O][C][K][K], the weight of output o and patch entry s, i. */
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
  const int blocks = least(c.O / LANES, REGISTERS / width >= 2 ? 2 : 1), rest = c.OW % width;
  for (int o = 0; o < c.O; o += blocks * LANES) {
    for (int y = 0; y < c.OH; y++) {
      const float *row = in + y * c.S * c.W * PIXEL(c);
      float *to = out + y * c.OW * c.O + o;
      for (int x = 0; x + width <= c.OW; x += width)
        if (!changed || any(changed + y * c.OW + x, width))
          conv_tile(c, row + x * c.S * PIXEL(c), w + o, bias + o, to + x * c.O, width, blocks);
      for (int x = c.OW - rest; x < c.OW; x++)
        if (!changed || changed[y * c.OW + x])
          conv_tile(c, row + x * c.S * PIXEL(c), w + o, bias + o, to + x * c.O, 1, blocks);
    }
  }
}

/* Where an input did not change since another state of the same weights, the output is what it was for that: `old`. */
INLINE void conv_forward(Conv c, const float *in, const float *w, const float *bias, float *out, const uint8_t *changed,
                         const float *old) {
  if (changed) {
    memcpy(out, old, OUT(c) * sizeof(float));
    conv_rows(c, in, w, bias, out, changed, c.OW % 5 == 0 ? 5 : c.OW % 3 == 0 ? 3 : c.OW);
  } else {
    conv_rows(c, in, w, bias, out, changed, even(c.OW));
  }
}

/* Finds which outputs of the first convolution see other pixels in one state than in another; says whether so few that
 * the rest is worth copying. A kernel is two strides wide, and a stride is a word of pixels. */
INLINE int find_changed(Conv c, const uint8_t *obs, const uint8_t *other, uint8_t *changed) {
  const int across = c.W / c.S, size = c.S * c.W; /* cells of S × S pixels; a row of them */
  uint8_t cells[ACROSS_MOST * ACROSS_MOST] = {0};
  for (int y = 0; y < c.C * across; y++, obs += size, other += size) {
    if (memcmp(obs, other, size) == 0) continue;
    const word *one = (const word *)obs, *two = (const word *)other;
    uint8_t *row = cells + y % across * across;
    for (int i = 0; i < c.S; i++)
      for (int x = 0; x < across; x++) row[x] |= one[i * across + x] != two[i * across + x];
  }
  int count = 0;
  for (int y = 0; y < c.OH; y++)
    for (int x = 0; x < c.OW; x++)
      count += changed[y * c.OW + x] = any(cells + y * across + x, 2) || any(cells + (y + 1) * across + x, 2);
  return 2 * count < c.OH * c.OW;
}

/* The same for a later convolution, from what has changed of its input. */
INLINE int spread_changed(Conv c, const uint8_t *in, uint8_t *changed) {
  int count = 0;
  for (int y = 0; y < c.OH; y++) {
    for (int x = 0; x < c.OW; x++) {
      int sees = 0;
      for (int k = 0; k < c.K; k++) sees |= any(in + (y * c.S + k) * c.W + x * c.S, c.K);
      count += changed[y * c.OW + x] = sees;
    }
  }
  return 2 * count < c.OH * c.OW;
}

/* The places of an image's outputs that have a gradient. */
typedef struct {
  int count, in[PLACES_MOST], out[PLACES_MOST]; /* floats before a place's patch, and before its outputs */
} Places;

INLINE void find_places(Conv c, const float *grad, Places *places) {
  places->count = 0;
  for (int y = 0; y < c.OH; y++) {
    for (int x = 0; x < c.OW; x++) {
      const int out = (y * c.OW + x) * c.O;
      places->in[places->count] = (y * c.S * c.W + x * c.S) * PIXEL(c);
      places->out[places->count] = out;
      places->count += !is_zero(grad + out, c.O);
    }
  }
}

/* dw[patch][o] += Σ in · grad over one image, for `deep` entries of a patch and `blocks` vectors of outputs. */
INLINE void weights_tile(Conv c, const float *in, const float *grad, const Places *places, float *dw, int deep,
                         int blocks) {
  vec sum[REGISTERS];
  UNROLL for (int k = 0; k < deep * blocks; k++) sum[k] = zero();
  for (int p = 0; p < places->count; p++) {
    const float *patch = in + places->in[p], *g = grad + places->out[p];
    UNROLL for (int b = 0; b < blocks; b++) {
      vec gradient = load(g + b * LANES);
      UNROLL for (int k = 0; k < deep; k++) sum[b * deep + k] += gradient * patch[k];
    }
  }
  UNROLL for (int b = 0; b < blocks; b++) {
    UNROLL for (int k = 0; k < deep; k++) {
      float *to = dw + k * c.O + b * LANES;
      store(to, load(to) + sum[b * deep + k]); /* a sum of sums rounds less than one long sum */
    }
  }
}

/* For the whole patch and all outputs; db[o] += Σ grad. */
INLINE void conv_backward_weights(Conv c, const float *in, const float *grad, const Places *places, float *dw,
                                  float *db) {
  const int blocks = c.O % (2 * LANES) ? 1 : 2, deep = least(RUN(c), DEEP / blocks); /* divides RUN */
  for (int o = 0; o < c.O; o += blocks * LANES) {
    for (int s = 0; s < SEGMENTS(c); s++)
      for (int i = 0; i < RUN(c); i += deep)
        weights_tile(c, in + segment(c, s) + i, grad + o, places, dw + (s * RUN(c) + i) * c.O + o, deep, blocks);
    for (int b = 0; b < blocks; b++) {
      vec sum = load(db + o + b * LANES);
      for (int p = 0; p < places->count; p++) sum += load(grad + places->out[p] + o + b * LANES);
      store(db + o + b * LANES, sum);
    }
  }
}

/* Which rows of outputs have a gradient. */
INLINE void find_rows(Conv c, const float *grad, uint8_t *rows) {
  for (int y = 0; y < c.OH; y++) rows[y] = !is_zero(grad + y * c.OW * c.O, c.OW * c.O);
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
  const int width = even(c.OW);
  uint8_t rows[ACROSS_MOST];
  find_rows(c, grad, rows);
  for (int k = 0; k < c.K * c.K; k++) {
    for (int channel = 0; channel < c.C; channel += LANES) {
      const float *weight = w + k * c.O * c.C + channel;
      for (int y = 0; y < c.OH; y++) {
        const float *g = grad + y * c.OW * c.O;
        float *to = din + ((y * c.S + k / c.K) * c.W + k % c.K) * c.C + channel;
        if (!rows[y]) continue;
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

/* The hidden layer, D → F, rectified; D is a multiple of 32 and F of 8. Where a channel is silent its inputs are zero,
 * some four in ten of all vectors, and their weights are not read: one that is no number goes unseen there. */

enum { CHUNK = 768 / LANES, INPUTS_MOST = 64 * 7 * 7 }; /* vectors of each of ROWS rows, for the first cache; floats */

/* Writes where in a row the vectors begin that are not zero in all of N rows; returns how many. */
static int find_columns(int N, int D, const float *in, int *columns) {
  uint8_t used[INPUTS_MOST / LANES] = {0};
  for (int n = 0; n < N; n++)
    for (int i = 0; i < D / LANES; i++) used[i] = used[i] || !is_zero(in + (size_t)n * D + i * LANES, LANES);
  int count = 0;
  for (int i = 0; i < D / LANES; i++)
    if (used[i]) columns[count++] = i * LANES;
  return count;
}

INLINE void dense_tile(int D, int F, const float *in, const float *w, float *out, const int *columns, int count,
                       int rows, int outputs) {
  vec sum[ROWS * OUTPUTS > ALONE ? ROWS * OUTPUTS : ALONE];
  for (int f = 0; f < F; f += outputs) {
    UNROLL for (int i = 0; i < rows * outputs; i++) sum[i] = zero();
    for (int i = 0; i < count; i++) {
      UNROLL for (int j = 0; j < outputs; j++) {
        const float *from = w + (size_t)(f + j) * D + columns[i];
        if (rows == ROWS) __builtin_prefetch(from + (size_t)outputs * D); /* in pieces, with gaps: nobody foresees it */
        vec weight = load(from);
        UNROLL for (int r = 0; r < rows; r++) sum[r * outputs + j] += weight * load(in + (size_t)r * D + columns[i]);
      }
    }
    UNROLL for (int r = 0; r < rows; r++) {
      UNROLL for (int j = 0; j < outputs; j++) out[r * F + f + j] += total(sum[r * outputs + j]);
    }
  }
}

static void dense_forward(int N, int D, int F, const float *in, const float *w, const float *bias, float *out) {
  int columns[INPUTS_MOST / LANES];
  const int count = find_columns(N, D, in, columns), chunk = N < ROWS ? count : CHUNK;
  for (int n = 0; n < N; n++) memcpy(out + (size_t)n * F, bias, F * sizeof(float));
  for (int start = 0; start < count; start += chunk) {
    const int *at = columns + start, few = least(chunk, count - start);
    int n = 0;
    for (; n + ROWS <= N; n += ROWS)
      dense_tile(D, F, in + (size_t)n * D, w, out + (size_t)n * F, at, few, ROWS, OUTPUTS);
    for (; n + 2 <= N; n += 2) dense_tile(D, F, in + (size_t)n * D, w, out + (size_t)n * F, at, few, 2, ALONE / 2);
    for (; n < N; n++) dense_tile(D, F, in + (size_t)n * D, w, out + (size_t)n * F, at, few, 1, ALONE);
  }
  for (size_t i = 0; i < (size_t)N * F; i += LANES) store(out + i, relu(load(out + i)));
}

/* Writes which of F units have a gradient from any of N states; returns how many. */
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
    vec sum[2 * BLOCK];
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
  for (; i + BLOCK <= count; i += BLOCK) dense_weights_tile(N, D, F, active + i, in, grad, dw, BLOCK);
  for (; i < count; i++) dense_weights_tile(N, D, F, active + i, in, grad, dw, 1);
  for (int n = 0; n < N; n++)
    for (int f = 0; f < F; f++) db[f] += grad[(size_t)n * F + f];
}

/* din[n][d] += Σ_f grad[n][f] · w[f][d], for `rows` n and `units` f */
INLINE void dense_input_tile(int D, int F, const int *f, const float *w, const float *grad, float *din, int rows,
                             int units) {
  for (int d = 0; d < D; d += LANES) {
    vec weight[BLOCK];
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
  for (; i + BLOCK <= count; i += BLOCK) dense_input_tile(D, F, active + i, w, grad, din, rows, BLOCK);
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

/* The torsos: two or three convolutions and a hidden layer. parameters: weight, bias of each layer, in torch's layouts.
 * What backward needs of forward: activations, [N][of each convolution], and the last ones as torch flattens them. */

enum { PIXELS = 4 * 84 * 84, WEIGHTS_MOST = 64 * 64 * 9, ACTIVATIONS_MOST = 32 * 20 * 20, UNITS_MOST = 512 };

typedef struct {
  float w1[WEIGHTS_MOST], w2[WEIGHTS_MOST], w3[WEIGHTS_MOST], dw1[WEIGHTS_MOST], dw2[WEIGHTS_MOST], dw3[WEIGHTS_MOST];
  float g1[ACTIVATIONS_MOST], g2[ACTIVATIONS_MOST], g3[ACTIVATIONS_MOST], image[PIXELS];
} Scratch;

/* Returns this thread's; hidden from the compiler, which otherwise asks where it is in the innermost loops. */
INLINE Scratch *scratch(void) {
  static _Thread_local Scratch own;
  Scratch *hidden = &own;
  __asm__("" : "+r"(hidden));
  return hidden;
}

/* Where one of these rows of outputs looks. */
INLINE void scale(Conv c, const uint8_t *obs, const uint8_t *rows, float *image) {
  for (int y = 0; y < c.H / c.S; y++) {
    if (!(y < c.OH && rows[y]) && !(y > 0 && rows[y - 1])) continue;
    for (int plane = 0; plane < c.C; plane++) {
      const int start = (plane * c.H + y * c.S) * c.W;
      for (int i = start; i < start + c.S * c.W; i++) image[i] = (float)obs[i] * (1 / 255.0f);
    }
  }
}

INLINE void planes_from_pixels(Conv c, const float *a, float *flat) {
  for (int o = 0; o < c.O; o++)
    for (int p = 0; p < c.OH * c.OW; p++) flat[o * c.OH * c.OW + p] = a[p * c.O + o];
}

/* The same backwards, through the rectifier. */
INLINE void pixels_from_planes(Conv c, const float *flat, const float *a, float *grad) {
  for (int p = 0; p < c.OH * c.OW; p++)
    for (int o = 0; o < c.O; o++) grad[p * c.O + o] = a[p * c.O + o] <= 0 ? 0 : flat[o * c.OH * c.OW + p];
}

/* Finds what has changed for each convolution; returns for how many, from the first, the rest is worth copying. */
INLINE int look_back(Conv one, Conv two, Conv three, int layers, const uint8_t *obs, const uint8_t *other,
                     uint8_t changed[3][PLACES_MOST]) {
  if (!find_changed(one, obs, other, changed[0])) return 0;
  if (!spread_changed(two, changed[0], changed[1])) return 1;
  return 2 + (layers == 3 && spread_changed(three, changed[1], changed[2]));
}

/* `before`: how many states before each one, in all arrays, there is another, of the same weights, that it may have
 * much in common with, such as the same game's last; 0: nobody knows. */
INLINE void forward(Conv one, Conv two, Conv three, int layers, int F, int N, size_t before, const uint8_t *obs,
                    const float *const *parameters, float *activations, float *flat, float *features) {
  Scratch *own = scratch();
  float *w1 = own->w1, *w2 = own->w2, *w3 = own->w3, *image = own->image;
  const Conv last = layers == 3 ? three : two;
  const size_t each = OUT(one) + OUT(two) + (layers == 3 ? OUT(three) : 0), D = OUT(last);
  uint8_t changed[3][PLACES_MOST];
  pack(one, parameters[0], w1);
  pack(two, parameters[2], w2);
  if (layers == 3) pack(three, parameters[4], w3);
  for (int n = 0; n < N; n++) {
    float *a1 = activations + n * each, *a2 = a1 + OUT(one), *a3 = a2 + OUT(two);
    const uint8_t *frames = obs + (size_t)n * PIXELS;
    const int few = before ? look_back(one, two, three, layers, frames, frames - before * PIXELS, changed) : 0;
    uint8_t rows[ACROSS_MOST];
    for (int y = 0; y < one.OH; y++) rows[y] = few < 1 || any(changed[0] + y * one.OW, one.OW);
    scale(one, frames, rows, image);
    conv_forward(one, image, w1, parameters[1], a1, few >= 1 ? changed[0] : NULL, a1 - before * each);
    conv_forward(two, a1, w2, parameters[3], a2, few >= 2 ? changed[1] : NULL, a2 - before * each);
    if (layers == 3) conv_forward(three, a2, w3, parameters[5], a3, few >= 3 ? changed[2] : NULL, a3 - before * each);
    planes_from_pixels(last, layers == 3 ? a3 : a2, flat + n * D);
  }
  dense_forward(N, D, F, flat, parameters[2 * layers], parameters[2 * layers + 1], features);
}

/* Where the last convolution sees in one state what it saw in an earlier one, their gradients go the same way: this
 * one's is added to the earlier one's, and is zero here. */
INLINE void move_gradients(Conv one, Conv two, Conv three, int layers, const uint8_t *obs, const uint8_t *earlier,
                           float *grad, float *to) {
  uint8_t all[3][PLACES_MOST], *changed = all[layers - 1];
  const Conv last = layers == 3 ? three : two;
  if (look_back(one, two, three, layers, obs, earlier, all) < layers) return;
  for (int o = 0; o < last.O; o++) {
    for (int p = 0; p < last.OH * last.OW; p++) {
      float *from = grad + o * last.OH * last.OW + p;
      to[o * last.OH * last.OW + p] += changed[p] ? 0 : *from;
      *from = changed[p] ? *from : 0;
    }
  }
}

/* Adds to the gradients of all parameters; work is [N][F + D]. `before` as above, for all but the first so many. */
INLINE void backward(Conv one, Conv two, Conv three, int layers, int F, int N, size_t before, const uint8_t *obs,
                     const float *const *parameters, const float *activations, const float *flat,
                     const float *features, const float *grad, float *const *gradients, float *work) {
  Scratch *own = scratch();
  float *w2 = own->w2, *w3 = own->w3, *image = own->image, *dw1 = own->dw1, *dw2 = own->dw2, *dw3 = own->dw3;
  float *g1 = own->g1, *g2 = own->g2, *g3 = own->g3;
  const Conv last = layers == 3 ? three : two;
  const size_t each = OUT(one) + OUT(two) + (layers == 3 ? OUT(three) : 0), D = OUT(last);
  float *g = work, *dflat = work + (size_t)N * F;
  for (size_t i = 0; i < (size_t)N * F; i++) g[i] = features[i] <= 0 ? 0 : grad[i];
  int active[UNITS_MOST];
  const int count = find_active(N, F, g, active);
  dense_backward_weights(N, D, F, active, count, flat, g, gradients[2 * layers], gradients[2 * layers + 1]);
  dense_backward_input(N, D, F, active, count, parameters[2 * layers], g, dflat);
  memset(dw1, 0, sizeof(float) * PATCH(one) * one.O);
  memset(dw2, 0, sizeof(float) * PATCH(two) * two.O);
  pack_transposed(two, parameters[2], w2);
  if (layers == 3) {
    memset(dw3, 0, sizeof(float) * PATCH(three) * three.O);
    pack_transposed(three, parameters[4], w3);
  }
  Places places;
  uint8_t rows[ACROSS_MOST];
  for (int n = N - 1; n >= 0; n--) {
    const float *a1 = activations + n * each, *a2 = a1 + OUT(one), *a3 = a2 + OUT(two);
    const uint8_t *frames = obs + (size_t)n * PIXELS;
    if (before && (size_t)n >= before)
      move_gradients(one, two, three, layers, frames, frames - before * PIXELS, dflat + n * D,
                     dflat + (n - before) * D);
    if (layers == 3) {
      pixels_from_planes(three, dflat + n * D, a3, g3);
      find_places(three, g3, &places);
      conv_backward_weights(three, a2, g3, &places, dw3, gradients[5]);
      memset(g2, 0, OUT(two) * sizeof(float));
      conv_backward_input(three, w3, g3, g2);
      for (int i = 0; i < OUT(two); i++) g2[i] = a2[i] <= 0 ? 0 : g2[i];
    } else {
      pixels_from_planes(two, dflat + n * D, a2, g2);
    }
    find_places(two, g2, &places);
    conv_backward_weights(two, a1, g2, &places, dw2, gradients[3]);
    memset(g1, 0, OUT(one) * sizeof(float));
    conv_backward_input(two, w2, g2, g1);
    for (int i = 0; i < OUT(one); i++) g1[i] = a1[i] <= 0 ? 0 : g1[i];
    find_rows(one, g1, rows);
    scale(one, frames, rows, image);
    find_places(one, g1, &places);
    conv_backward_weights(one, image, g1, &places, dw1, gradients[1]);
  }
  add_unpacked(one, dw1, gradients[0]);
  add_unpacked(two, dw2, gradients[2]);
  if (layers == 3) add_unpacked(three, dw3, gradients[4]);
}

#define TORSO(name, one, two, three, layers, F)                                                                      \
  void name##_forward(int N, size_t before, const uint8_t *obs, const float *const *parameters, float *activations,    \
                      float *flat, float *features) {                                                                  \
    forward(one, two, three, layers, F, N, before, obs, parameters, activations, flat, features);                      \
  }                                                                                                                    \
  void name##_backward(int N, size_t before, const uint8_t *obs, const float *const *parameters,                       \
                       const float *activations, const float *flat, const float *features, const float *grad,          \
                       float *const *gradients, float *work) {                                                         \
    backward(one, two, three, layers, F, N, before, obs, parameters, activations, flat, features, grad, gradients,     \
             work);                                                                                                    \
  }

/*                            planes  C   H   W   O   K  S  OH  OW */
static const Conv nips_one = {4, 4, 84, 84, 16, 8, 4, 20, 20}, nips_two = {1, 16, 20, 20, 32, 4, 2, 9, 9};
static const Conv nature_one = {4, 4, 84, 84, 32, 8, 4, 20, 20}, nature_two = {1, 32, 20, 20, 64, 4, 2, 9, 9};
static const Conv nature_three = {1, 64, 9, 9, 64, 3, 1, 7, 7};

TORSO(nips, nips_one, nips_two, nips_two, 2, 256)
TORSO(nature, nature_one, nature_two, nature_three, 3, 512)

enum { LINE = 16, AHEAD = 32 * LINE }; /* floats in a cache line; how far ahead a line is asked for */

/* g ← αg + (1−α)Δθ²; θ ← θ − ηΔθ/√(g+ε), in one pass. Other workers' processors own many of the
 * cache lines: each is asked for well before it is written to, or every write would wait for it. Most lines have no
 * gradient, since what they connect was not active; such a line of θ stays as it is, and where it is. */
void rmsprop(size_t P, float *theta, float *g, const float *grad, float lr, float alpha, float one_minus_alpha,
             float eps) {
  for (size_t start = 0; start < P; start += LINE) {
    const size_t end = P - start < LINE ? P : start + LINE, later = start + AHEAD;
    __builtin_prefetch(g + later, 1);
    if (later + LINE <= P && !is_zero(grad + later, LINE)) __builtin_prefetch(theta + later, 1);
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
