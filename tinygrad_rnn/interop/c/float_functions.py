"""The C functions of a step in floating point, one for each kind of layer; each uses only those before it."""

FUNCTIONS = {
    "zero": """
static void zero(size_t size, float *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = 0.0f;
}""",
    "copy": """
static void copy(const float *x, size_t size, float *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = x[i];
}""",
    "add": """
/* y += x */
static void add(const float *x, size_t size, float *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] += x[i];
}""",
    "add_seen": """
/* y += p c, number by number */
static void add_seen(const float *p, const float *c, size_t size, float *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] += p[i] * c[i];
}""",
    "add_product": """
/* y += x w, where w is (rows, columns) and x (rows); four rows at a time, so that y is read and written less often */
static void add_product(const float *restrict w, const float *restrict x, size_t rows, size_t columns,
                        float *restrict y)
{
    const size_t fours = rows - rows % 4;
    size_t i, j;
    for (i = 0; i < fours; i += 4) {
        const float *w0 = w + i * columns, *w1 = w0 + columns, *w2 = w1 + columns, *w3 = w2 + columns;
        for (j = 0; j < columns; j++)
            y[j] += (x[i] * w0[j] + x[i + 1] * w1[j]) + (x[i + 2] * w2[j] + x[i + 3] * w3[j]);
    }
    for (i = fours; i < rows; i++)
        for (j = 0; j < columns; j++)
            y[j] += x[i] * w[i * columns + j];
}""",
    "add_dots": """
/* y += x w, where w is stored as its transpose, (columns, rows) */
static void add_dots(const float *w, const float *x, size_t rows, size_t columns, float *y)
{
    size_t i, j;
    for (j = 0; j < columns; j++, w += rows) {
        float sum = 0.0f;
        for (i = 0; i < rows; i++)
            sum += x[i] * w[i];
        y[j] += sum;
    }
}""",
    "add_scaled_dots": """
/* y += x w, where w is stored as its transpose, (columns, rows), in 8 bits, with a scale for each column */
static void add_scaled_dots(const int8_t *w, const float *scale, const float *x, size_t rows, size_t columns, float *y)
{
    size_t i, j;
    for (j = 0; j < columns; j++, w += rows) {
        float sum = 0.0f;
        for (i = 0; i < rows; i++)
            sum += x[i] * (float)w[i];
        y[j] += scale[j] * sum;
    }
}""",
    "add_scaled_row": """
/* y += a row of w, in 8 bits, with a scale for each column */
static void add_scaled_row(const int8_t *row, const float *scale, size_t columns, float *y)
{
    size_t j;
    for (j = 0; j < columns; j++)
        y[j] += scale[j] * (float)row[j];
}""",
    "scale_row": """
/* y = a row of a table, in 8 bits, times its scale */
static void scale_row(const int8_t *row, float scale, size_t columns, float *y)
{
    size_t j;
    for (j = 0; j < columns; j++)
        y[j] = scale * (float)row[j];
}""",
    "sigmoid": """
/* 1 / (1 + exp(-a)), in a form that never overflows */
static float sigmoid(float a)
{
    return 0.5f * tanhf(0.5f * a) + 0.5f;
}""",
    "apply_tanh": """
/* y = tanh x; they may be the same */
static void apply_tanh(const float *x, size_t size, float *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = tanhf(x[i]);
}""",
    "apply_sigmoid": """
/* y = sigmoid x */
static void apply_sigmoid(const float *x, size_t size, float *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = sigmoid(x[i]);
}""",
    "apply_relu": """
/* y = max(x, 0), and NaN where x is NaN; they may be the same */
static void apply_relu(const float *x, size_t size, float *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = x[i] < 0.0f ? 0.0f : x[i];
}""",
    "apply_softmax": """
/* y = exp(x - max x), divided by its sum */
static void apply_softmax(const float *x, size_t size, float *y)
{
    float most = x[0], sum = 0.0f;
    size_t i;
    for (i = 1; i < size; i++)
        most = x[i] > most ? x[i] : most;
    for (i = 0; i < size; i++) {
        y[i] = expf(x[i] - most);
        sum += y[i];
    }
    for (i = 0; i < size; i++)
        y[i] /= sum;
}""",
    "layer_norm": """
/* y = g (x - mean) / deviation; the first entry is subtracted first, for only differences of entries matter */
static void layer_norm(const float *x, const float *g, float eps, size_t size, float *y)
{
    float mean = 0.0f, variance = 0.0f, inverse;
    const float first = x[0];
    size_t i;
    for (i = 0; i < size; i++) {
        y[i] = x[i] - first;
        mean += y[i];
    }
    mean /= (float)size;
    for (i = 0; i < size; i++) {
        y[i] -= mean;
        variance += y[i] * y[i];
    }
    inverse = 1.0f / sqrtf(variance / (float)size + eps);
    for (i = 0; i < size; i++)
        y[i] *= inverse * g[i];
}""",
    "standardize": """
/* y = (x - mean) / scale, and 0 where x is NaN, a gap */
static void standardize(const float *x, const float *mean, const float *scale, size_t size, float *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = x[i] != x[i] ? 0.0f : (x[i] - mean[i]) / scale[i];
}""",
    "mark_gaps": """
/* y = 1 where x is NaN, a gap, else 0 */
static void mark_gaps(const float *x, size_t size, float *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = x[i] != x[i] ? 1.0f : 0.0f;
}""",
    "has_gap": """
/* whether one of x is NaN */
static int has_gap(const float *x, size_t size)
{
    size_t i;
    for (i = 0; i < size; i++)
        if (x[i] != x[i])
            return 1;
    return 0;
}""",
    "lstm_memory": """
/* From the sums a of the gates i, f, o, g (size each): c = f c + i g */
static void lstm_memory(const float *a, size_t size, float *c)
{
    size_t j;
    for (j = 0; j < size; j++)
        c[j] = sigmoid(a[size + j]) * c[j] + sigmoid(a[j]) * tanhf(a[3 * size + j]);
}""",
    "coupled_memory": """
/* From the sums a of the gates f, o, g (size each): c = f c + (1 - f) g */
static void coupled_memory(const float *a, size_t size, float *c)
{
    size_t j;
    for (j = 0; j < size; j++) {
        const float f = sigmoid(a[j]);
        c[j] = f * c[j] + (1.0f - f) * tanhf(a[2 * size + j]);
    }
}""",
    "lstm_output": """
/* From the sums a of gate o, and m, the memory c or its norm: h = o tanh m */
static void lstm_output(const float *a, const float *m, size_t size, float *h)
{
    size_t j;
    for (j = 0; j < size; j++)
        h[j] = sigmoid(a[j]) * tanhf(m[j]);
}""",
    "gru_reset": """
/* From the sums a of gate r: y = r m */
static void gru_reset(const float *a, const float *m, size_t size, float *y)
{
    size_t j;
    for (j = 0; j < size; j++)
        y[j] = sigmoid(a[j]) * m[j];
}""",
    "gru_output": """
/* From the sums a of the gates r, z, n (size each), where those of n are complete: h = (1 - z) n + z h */
static void gru_output(const float *a, size_t size, float *h)
{
    size_t j;
    for (j = 0; j < size; j++) {
        const float z = sigmoid(a[size + j]), n = tanhf(a[2 * size + j]);
        h[j] = (1.0f - z) * n + z * h[j];
    }
}""",
}
