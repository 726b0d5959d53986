"""The C functions of a step in whole numbers; each uses only those before it.

They compute what `interop.quantized` computes, where the same steps have the same names.
"""

FUNCTIONS = {
    "shifts_arithmetically": """
/* rounding relies on -1 >> 1 being -1, as it is with every compiler in use */
typedef char shifts_arithmetically[(-1 >> 1) == -1 ? 1 : -1];

/* what a term of a sum is clipped to, so that four of them fit 32 bits */
#define LIMIT 536870911""",
    "clipped": """
static int32_t clipped(int32_t value, int32_t limit)
{
    return value > limit ? limit : value < -limit ? -limit : value;
}""",
    "rounded": """
/* value / 2^shift, to the nearest, a half upwards; shift is at least 1 */
static int32_t rounded(int32_t value, int shift)
{
    return (value + ((int32_t)1 << (shift - 1))) >> shift;
}""",
    "rescaled": """
/* value * multiplier / 2^shift, rounded in the same way, and clipped */
static int32_t rescaled(int32_t value, int32_t multiplier, int shift, int32_t limit)
{
    const int64_t whole = ((int64_t)value * multiplier + ((int64_t)1 << (shift - 1))) >> shift;
    return whole > limit ? limit : whole < -limit ? -limit : (int32_t)whole;
}""",
    "copy": """
static void copy(const int32_t *x, size_t size, int32_t *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = x[i];
}""",
    "zero": """
static void zero(size_t size, int32_t *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = 0;
}""",
    "add": """
/* y += x */
static void add(const int32_t *x, size_t size, int32_t *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] += x[i];
}""",
    "copy8": """
static void copy8(const int8_t *x, size_t size, int8_t *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = x[i];
}""",
    "copy16": """
static void copy16(const int16_t *x, size_t size, int16_t *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = x[i];
}""",
    "load8": """
/* to 32 bits, in which values are computed */
static void load8(const int8_t *x, size_t size, int32_t *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = x[i];
}""",
    "load16": """
static void load16(const int16_t *x, size_t size, int32_t *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = x[i];
}""",
    "store8": """
/* to 8 bits, of another scale */
static void store8(const int32_t *x, size_t size, int32_t multiplier, int shift, int8_t *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = (int8_t)rescaled(x[i], multiplier, shift, 127);
}""",
    "store16": """
static void store16(const int32_t *x, size_t size, int32_t multiplier, int shift, int16_t *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = (int16_t)rescaled(x[i], multiplier, shift, 32767);
}""",
    "rescale": """
static void rescale(size_t size, int32_t multiplier, int shift, int32_t limit, int32_t *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = rescaled(y[i], multiplier, shift, limit);
}""",
    "clip": """
static void clip(size_t size, int32_t limit, int32_t *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = clipped(y[i], limit);
}""",
    "add_product": """
/* sums += x w, where w is stored as its transpose, (columns, rows), and each column has a multiplier */
static void add_product(const int8_t *w, const int32_t *multiplier, const int8_t *shift, const int8_t *x, size_t rows,
                        size_t columns, int32_t *sums)
{
    size_t i, j;
    for (j = 0; j < columns; j++, w += rows) {
        int32_t sum = 0;
        for (i = 0; i < rows; i++)
            sum += (int32_t)w[i] * x[i];
        sums[j] += rescaled(sum, multiplier[j], shift[j], LIMIT);
    }
}""",
    "add_row": """
/* sums += a row of w, where each column has a multiplier */
static void add_row(const int8_t *row, const int32_t *multiplier, const int8_t *shift, size_t columns, int32_t *sums)
{
    size_t j;
    for (j = 0; j < columns; j++)
        sums[j] += rescaled(row[j], multiplier[j], shift[j], LIMIT);
}""",
    "add_seen": """
/* sums += p c, where each number of p is a multiplier */
static void add_seen(const int32_t *multiplier, const int8_t *shift, const int16_t *c, size_t size, int32_t *sums)
{
    size_t j;
    for (j = 0; j < size; j++)
        sums[j] += rescaled(c[j], multiplier[j], shift[j], LIMIT);
}""",
    "looked_up": """
/* The function of a value in 2^-12, -32767 to 32767, by its table: between two entries on a straight line. */
static int32_t looked_up(const int16_t *table, int32_t value)
{
    const int32_t place = value + 32768, i = place >> 8;
    return table[i] + rounded((table[i + 1] - table[i]) * (place & 255), 8);
}""",
    "gate": """
/* The function of a sum in 2^-20. */
static int32_t gate(const int16_t *table, int32_t sum)
{
    return looked_up(table, clipped(rounded(sum, 8), 32767));
}""",
    "apply_gate": """
static void apply_gate(const int16_t *table, size_t size, int32_t *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = gate(table, y[i]);
}""",
    "apply_table": """
/* The function of values that the multiplier brings to 2^-12. */
static void apply_table(const int16_t *table, size_t size, int32_t multiplier, int shift, int32_t *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = looked_up(table, rescaled(y[i], multiplier, shift, 32767));
}""",
    "apply_relu": """
static void apply_relu(size_t size, int32_t *y)
{
    size_t i;
    for (i = 0; i < size; i++)
        y[i] = y[i] < 0 ? 0 : y[i];
}""",
    "apply_softmax": """
/* exp(y - max y), divided by its sum, in 1 / 32767; the multiplier brings y to 2^-12 */
static void apply_softmax(size_t size, int32_t multiplier, int shift, int32_t *y)
{
    int32_t most = y[0];
    uint32_t sum = 0;
    size_t i;
    for (i = 1; i < size; i++)
        most = y[i] > most ? y[i] : most;
    for (i = 0; i < size; i++) {
        y[i] = looked_up(EXP, 32767 + rescaled(y[i] - most, multiplier, shift, 65534));
        sum += (uint32_t)y[i];
    }
    for (i = 0; i < size; i++)
        y[i] = (int32_t)(((uint32_t)y[i] * 32767u + sum / 2) / sum);
}""",
    "square_root": """
/* the largest whole number whose square is not above value */
static uint32_t square_root(uint64_t value)
{
    uint64_t root = 0, bit = (uint64_t)1 << 30;
    for (; bit != 0; bit >>= 1)
        if ((root + bit) * (root + bit) <= value)
            root += bit;
    return (uint32_t)root;
}""",
    "normalise": """
/* (y - mean) / deviation in 2^-16, times what the multipliers say; y has 16 bits, eps is in (1 / 16)^2 */
static void normalise(const int32_t *multiplier, const int8_t *shift, uint64_t eps, size_t size, int32_t *y)
{
    const int64_t count = (int64_t)size;
    int64_t sum = 0, mean, inverse;
    uint64_t variance = 0;
    size_t i;
    for (i = 0; i < size; i++)
        sum += y[i];
    sum = 32 * sum + count;
    mean = sum / (2 * count);
    if (sum % (2 * count) < 0)
        mean--; /* rounded down, and not to 0 */
    for (i = 0; i < size; i++) {
        y[i] = (int32_t)(16 * y[i] - mean);
        variance += (uint64_t)((int64_t)y[i] * y[i]);
    }
    inverse = ((int64_t)1 << 46) / (int64_t)square_root((variance / size + eps) << 16);
    for (i = 0; i < size; i++) {
        const int32_t normal = (int32_t)((y[i] * inverse + ((int64_t)1 << 21)) >> 22);
        y[i] = rescaled(normal, multiplier[i], shift[i], LIMIT);
    }
}""",
    "remembered": """
/* keep memory + write value; the memory is in 2^-bits, all others in 2^-15 */
static int16_t remembered(int32_t keep, int32_t memory, int32_t write, int32_t value, int bits)
{
    return (int16_t)clipped(rounded(keep * memory, 15) + rounded(write * value, 30 - bits), 32767);
}""",
    "lstm_memory": """
/* From the sums a of the gates i, f, o, g (size each): c = f c + i g */
static void lstm_memory(const int32_t *a, size_t size, int bits, int16_t *c)
{
    size_t j;
    for (j = 0; j < size; j++)
        c[j] = remembered(gate(SIGMOID, a[size + j]), c[j], gate(SIGMOID, a[j]), gate(TANH, a[3 * size + j]), bits);
}""",
    "coupled_memory": """
/* From the sums a of the gates f, o, g (size each): c = f c + (1 - f) g */
static void coupled_memory(const int32_t *a, size_t size, int bits, int16_t *c)
{
    size_t j;
    for (j = 0; j < size; j++) {
        const int32_t f = gate(SIGMOID, a[j]);
        c[j] = remembered(f, c[j], 32768 - f, gate(TANH, a[2 * size + j]), bits);
    }
}""",
    "lstm_output": """
/* From the sums a of gate o, and m, the tanh of the memory c or of its norm: h = o m */
static void lstm_output(const int32_t *a, const int32_t *m, size_t size, int32_t multiplier, int shift, int8_t *h)
{
    size_t j;
    for (j = 0; j < size; j++)
        h[j] = (int8_t)rescaled(gate(SIGMOID, a[j]) * m[j], multiplier, shift, 127);
}""",
    "gru_reset": """
/* From the sums a of gate r: m = r m */
static void gru_reset(const int32_t *a, size_t size, int32_t *m)
{
    size_t j;
    for (j = 0; j < size; j++)
        m[j] = rescaled(m[j], gate(SIGMOID, a[j]), 15, LIMIT);
}""",
    "gru_reset_before": """
/* From the sums a of gate r: q = r h */
static void gru_reset_before(const int32_t *a, const int16_t *h, size_t size, int32_t multiplier, int shift, int8_t *q)
{
    size_t j;
    for (j = 0; j < size; j++)
        q[j] = (int8_t)rescaled(gate(SIGMOID, a[j]) * h[j], multiplier, shift, 127);
}""",
    "gru_output": """
/* From the sums a of the gates r, z, n (size each), where those of n are complete: h = (1 - z) n + z h */
static void gru_output(const int32_t *a, size_t size, int bits, int16_t *h)
{
    size_t j;
    for (j = 0; j < size; j++) {
        const int32_t z = gate(SIGMOID, a[size + j]), n = gate(TANH, a[2 * size + j]);
        h[j] = remembered(z, h[j], 32768 - z, n, bits);
    }
}""",
}
