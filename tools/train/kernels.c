/* Fast paths of training: the routed experts and causal attention within documents, forward and backward.
   Compiled by kernels.py with the sizes as macros: H hidden (a multiple of 48), I expert width (of 8), Q query and V value width of a head
   (of 16), MAXROWS the most tokens of a call. Documents have at most 2048 tokens. */
#include <math.h>
#include <string.h>

#define LANES 16
typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));
#define LOAD(p) (*(const vec *)(p))
#define STORE(p, x) (*(vec *)(p) = (x))
#define UNROLL _Pragma("GCC unroll 16")
#define INLINE static inline __attribute__((always_inline))
#define I2 (2 * I)
#define IP ((I + 15) / 16 * 16)

/* out[m][cols of 16] (+)= a[m][depth] * b[depth][stride]; a by row pointers. m and cols are constants at every call. */
INLINE void tile(int m, int cols, int depth, const float *const *a, const float *b, int stride, float *const *out, int add)
{
    vec acc[8][12];
    UNROLL for (int r = 0; r < m; r++)
        UNROLL for (int c = 0; c < cols; c++) acc[r][c] = add ? LOAD(out[r] + c * LANES) : (vec){0};
    for (int k = 0; k < depth; k++)
        UNROLL for (int c = 0; c < cols; c++) {
            vec x = LOAD(b + (long)k * stride + c * LANES);
            UNROLL for (int r = 0; r < m; r++) acc[r][c] += a[r][k] * x;
        }
    UNROLL for (int r = 0; r < m; r++)
        UNROLL for (int c = 0; c < cols; c++) STORE(out[r] + c * LANES, acc[r][c]);
}

/* out rows = a rows * b for any number of rows, eight or two at a time. */
#define ROWS_BY(M, COLS, ROWS, DEPTH, A, B, STRIDE, OUT, ADD)                       \
    do {                                                                           \
        int r_ = 0;                                                                \
        for (; r_ + M <= (ROWS); r_ += M) tile(M, COLS, DEPTH, (A) + r_, B, STRIDE, (OUT) + r_, ADD); \
        for (; r_ < (ROWS); r_++) tile(1, COLS, DEPTH, (A) + r_, B, STRIDE, (OUT) + r_, ADD);        \
    } while (0)

/* out[i][cols of 16] = sum over rows of a[row][at + i] * b[row], i < m. */
INLINE void outer(int m, int cols, int rows, const float *const *a, int at, const float *const *b, float *out, int stride)
{
    vec acc[12][12];
    UNROLL for (int i = 0; i < m; i++) UNROLL for (int c = 0; c < cols; c++) acc[i][c] = (vec){0};
    for (int r = 0; r < rows; r++)
        UNROLL for (int c = 0; c < cols; c++) {
            vec x = LOAD(b[r] + c * LANES);
            UNROLL for (int i = 0; i < m; i++) acc[i][c] += a[r][at + i] * x;
        }
    UNROLL for (int i = 0; i < m; i++)
        UNROLL for (int c = 0; c < cols; c++) STORE(out + (long)i * stride + c * LANES, acc[i][c]);
}

static void transpose(const float *a, int rows, int cols, long stride, float *out, int out_stride)
{
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < cols; c++) out[(long)c * out_stride + r] = a[r * stride + c];
}

static float act_[MAXROWS][IP], dh_[MAXROWS][I2], h_[MAXROWS][I2];

/* Rows of expert e are start[e]..start[e+1]; token[] names the row of x, weight[] its gate. out must be zero. */
void experts_forward(const float *x, const float *weight, const int *token, const int *start, int experts,
                     const float *w13, const float *w2, float *out, float *h)
{
    static float t13[H][I2], t2[I][H];
    for (int e = 0; e < experts; e++) {
        int n = start[e + 1] - start[e], first = start[e];
        if (!n) continue;
        const float *in[n], *a[n];
        float *ho[n], *to[n];
        transpose(w13 + (long)e * I2 * H, I2, H, H, t13[0], I2);
        transpose(w2 + (long)e * H * I, H, I, I, t2[0], H);
        for (int r = 0; r < n; r++) {
            in[r] = x + (long)token[first + r] * H;
            ho[r] = h + (long)(first + r) * I2;
            a[r] = act_[r];
            to[r] = out + (long)token[first + r] * H;
        }
        ROWS_BY(8, I2 / LANES, n, H, in, t13[0], I2, ho, 0);
        for (int r = 0; r < n; r++)
            for (int i = 0; i < I; i++) {
                float g = ho[r][i];
                act_[r][i] = g / (1 + expf(-g)) * ho[r][I + i] * weight[first + r];
            }
        ROWS_BY(2, H / LANES, n, I, a, t2[0], H, to, 1);
    }
}

/* dx must be zero; every g13, g2 is overwritten. */
void experts_backward(const float *dout, const float *x, const float *weight, const int *token, const int *start, int experts,
                      const float *w13, const float *w2, const float *h, float *dx, float *dweight, float *g13, float *g2)
{
    static float p2[H][IP], da[MAXROWS][IP];
    for (int e = 0; e < experts; e++) {
        int n = start[e + 1] - start[e], first = start[e];
        float *ge13 = g13 + (long)e * I2 * H, *ge2 = g2 + (long)e * H * I;
        if (!n) {
            memset(ge13, 0, sizeof(float) * I2 * H);
            memset(ge2, 0, sizeof(float) * H * I);
            continue;
        }
        const float *in[n], *dy[n], *a[n], *dh[n];
        float *d[n], *to[n], row[12][IP];
        for (int i = 0; i < H; i++) memcpy(p2[i], w2 + ((long)e * H + i) * I, sizeof(float) * I);
        for (int r = 0; r < n; r++) {
            in[r] = x + (long)token[first + r] * H;
            dy[r] = dout + (long)token[first + r] * H;
            to[r] = dx + (long)token[first + r] * H;
            a[r] = act_[r], dh[r] = dh_[r], d[r] = da[r];
        }
        ROWS_BY(8, IP / LANES, n, H, dy, p2[0], IP, d, 0);
        for (int r = 0; r < n; r++) {
            const float *hr = h + (long)(first + r) * I2;
            float w = weight[first + r], sum = 0;
            for (int i = 0; i < I; i++) {
                float g = hr[i], u = hr[I + i], s = 1 / (1 + expf(-g)), v = g * s * u, t = d[r][i];
                sum += t * v;
                act_[r][i] = v * w;
                t *= w;
                dh_[r][i] = t * u * s * (1 + g * (1 - s));
                dh_[r][I + i] = t * g * s;
            }
            dweight[first + r] = sum;
        }
        ROWS_BY(2, H / LANES, n, I2, dh, w13 + (long)e * I2 * H, H, to, 1);
        for (int j = 0; j < I2; j += 2) outer(2, H / LANES, n, dh, j, in, ge13 + (long)j * H, H);
        for (int i = 0; i < H; i += 12) {
            outer(12, IP / LANES, n, dy, i, a, row[0], IP);
            for (int j = 0; j < 12; j++) memcpy(ge2 + (long)(i + j) * I, row[j], sizeof(float) * I);
        }
    }
}

#define BLOCK 8
#define KEYS 48
#define MAXKEYS 2064

static float kt[Q][MAXKEYS], vt[V][MAXKEYS], s_[BLOCK][MAXKEYS], ds_[BLOCK][MAXKEYS];

/* scores of m query rows (pointers) against keys 0..keys-1, by the transposed keys; rows of s. */
static void score(int m, const float *const *q, int depth, const float *t, int keys, float (*s)[MAXKEYS])
{
    for (int j = 0; j < keys; j += KEYS) {
        float *out[BLOCK];
        for (int r = 0; r < BLOCK; r++) out[r] = s[r] + j;
        if (m == BLOCK) tile(BLOCK, KEYS / LANES, depth, q, t + j, MAXKEYS, out, 0);
        else ROWS_BY(1, KEYS / LANES, m, depth, q, t + j, MAXKEYS, out, 0);
    }
}

/* Causal attention of one document: rows of q, k are stride 'heads * Q', of v and out 'heads * V'; lse keeps log sums. */
void attention_forward(const float *q, const float *k, const float *v, int length, int heads, float *out, float *lse)
{
    int sq = heads * Q, sv = heads * V;
    for (int h = 0; h < heads; h++) {
        transpose(k + h * Q, length, Q, sq, kt[0], MAXKEYS);
        for (int a = 0; a < length; a += BLOCK) {
            int m = length - a < BLOCK ? length - a : BLOCK;
            const float *rows[BLOCK], *p[BLOCK];
            float *to[BLOCK];
            for (int r = 0; r < m; r++) rows[r] = q + (long)(a + r) * sq + h * Q, p[r] = s_[r], to[r] = out + (long)(a + r) * sv + h * V;
            score(m, rows, Q, kt[0], a + m, s_);
            for (int r = 0; r < m; r++) {
                float top = -1e30f, sum = 0;
                int n = a + r + 1;
                for (int j = 0; j < n; j++) top = s_[r][j] > top ? s_[r][j] : top;
                for (int j = 0; j < n; j++) sum += s_[r][j] = expf(s_[r][j] - top);
                float inverse = 1 / sum;
                for (int j = 0; j < n; j++) s_[r][j] *= inverse;
                for (int j = n; j < a + m; j++) s_[r][j] = 0;
                lse[(long)(a + r) * heads + h] = top + logf(sum);
            }
            ROWS_BY(8, V / LANES, m, a + m, p, v + h * V, sv, to, 0);
        }
    }
}

/* dq, dk, dv must be zero. */
void attention_backward(const float *dout, const float *q, const float *k, const float *v, const float *out, const float *lse,
                        int length, int heads, float *dq, float *dk, float *dv)
{
    int sq = heads * Q, sv = heads * V;
    for (int h = 0; h < heads; h++) {
        transpose(k + h * Q, length, Q, sq, kt[0], MAXKEYS);
        transpose(v + h * V, length, V, sv, vt[0], MAXKEYS);
        for (int a = 0; a < length; a += BLOCK) {
            int m = length - a < BLOCK ? length - a : BLOCK;
            const float *rows[BLOCK], *dy[BLOCK], *ds[BLOCK];
            float *to[BLOCK];
            for (int r = 0; r < m; r++)
                rows[r] = q + (long)(a + r) * sq + h * Q, dy[r] = dout + (long)(a + r) * sv + h * V, ds[r] = ds_[r],
                to[r] = dq + (long)(a + r) * sq + h * Q;
            score(m, rows, Q, kt[0], a + m, s_);
            score(m, dy, V, vt[0], a + m, ds_);
            for (int r = 0; r < m; r++) {
                const float *o = out + (long)(a + r) * sv + h * V;
                float delta = 0, l = lse[(long)(a + r) * heads + h];
                int n = a + r + 1;
                for (int i = 0; i < V; i++) delta += o[i] * dy[r][i];
                for (int j = 0; j < n; j++) s_[r][j] = expf(s_[r][j] - l), ds_[r][j] = s_[r][j] * (ds_[r][j] - delta);
                for (int j = n; j < a + m; j++) s_[r][j] = ds_[r][j] = 0;
            }
            ROWS_BY(8, Q / LANES, m, a + m, ds, k + h * Q, sq, to, 0);
            for (int j = 0; j < a + m; j++) {
                vec gk[Q / LANES], gv[V / LANES];
                float *pk = dk + (long)j * sq + h * Q, *pv = dv + (long)j * sv + h * V;
                UNROLL for (int c = 0; c < Q / LANES; c++) gk[c] = LOAD(pk + c * LANES);
                UNROLL for (int c = 0; c < V / LANES; c++) gv[c] = LOAD(pv + c * LANES);
                for (int r = 0; r < m; r++) {
                    UNROLL for (int c = 0; c < Q / LANES; c++) gk[c] += ds_[r][j] * LOAD(rows[r] + c * LANES);
                    UNROLL for (int c = 0; c < V / LANES; c++) gv[c] += s_[r][j] * LOAD(dy[r] + c * LANES);
                }
                UNROLL for (int c = 0; c < Q / LANES; c++) STORE(pk + c * LANES, gk[c]);
                UNROLL for (int c = 0; c < V / LANES; c++) STORE(pv + c * LANES, gv[c]);
            }
        }
    }
}

/* Chosen experts of every row: the `keep` best of the groups by the sum of their two best scores, then the k best of what is left. */
void choose(const float *scores, const float *bias, int rows, int experts, int groups, int keep, int k, long *ids)
{
    int size = experts / groups;
    for (int row = 0; row < rows; row++) {
        float s[experts], total[groups];
        for (int e = 0; e < experts; e++) s[e] = scores[(long)row * experts + e] + bias[e];
        for (int g = 0; g < groups; g++) {
            float one = -1e30f, two = -1e30f;
            for (int e = g * size; e < (g + 1) * size; e++) {
                float low = s[e] < one ? s[e] : one;
                one = s[e] > one ? s[e] : one;
                two = low > two ? low : two;
            }
            total[g] = one + two;
        }
        for (int g = 0; g < groups; g++) {
            int better = 0;
            for (int o = 0; o < groups; o++) better += total[o] > total[g] || (total[o] == total[g] && o < g);
            if (better >= keep) for (int e = g * size; e < (g + 1) * size; e++) s[e] = -1e30f;
        }
        for (int i = 0; i < k; i++) {
            float top = -1e31f;
            int which = 0;
            for (int e = 0; e < experts; e++) top = s[e] > top ? s[e] : top;
            while (s[which] != top) which++;
            s[which] = -2e30f;
            ids[(long)row * k + i] = which;
        }
    }
}

/* One AdamW step over n floats. */
void adam(float *p, const float *g, float *m, float *v, long n, float keep, float rate)
{
    for (long i = 0; i < n; i++) {
        m[i] = 0.9f * m[i] + 0.1f * g[i];
        v[i] = 0.98f * v[i] + 0.02f * g[i] * g[i];
        p[i] = keep * p[i] - rate * m[i] / (sqrtf(v[i]) + 1e-9f);
    }
}

/* RMSNorm of rows of d floats; scale keeps 1/rms. */
void rms_forward(const float *x, const float *w, long rows, int d, float *out, float *scale)
{
    for (long r = 0; r < rows; r++, x += d, out += d) {
        float sum = 0;
        for (int i = 0; i < d; i++) sum += x[i] * x[i];
        float s = scale[r] = 1 / sqrtf(sum / d + 1e-6f);
        for (int i = 0; i < d; i++) out[i] = x[i] * s * w[i];
    }
}

/* dw must be zero. */
void rms_backward(const float *dout, const float *x, const float *w, const float *scale, long rows, int d, float *dx, float *dw)
{
    for (long r = 0; r < rows; r++, x += d, dout += d, dx += d) {
        float s = scale[r], dot = 0;
        for (int i = 0; i < d; i++) {
            float t = dout[i] * x[i] * s;
            dw[i] += t;
            dot += t * w[i];
        }
        dot *= s / d;
        for (int i = 0; i < d; i++) dx[i] = s * (dout[i] * w[i] - x[i] * dot);
    }
}
