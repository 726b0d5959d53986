// Softmax and cross-entropy: a block for each of N rows of V logits, forward and back. Notation as in
// kernels/plain/softmax_cross_entropy.py. A row is a token: row n is step n / B of row n % B of the batch.
// Before this: typedef ... Real, typedef ... Id, and sums.cu.

struct Options {
    const Real *weights;         // (N,) or null: 1
    const long long *lengths;    // (B,) or null: no row ends
    const Real *of_class;        // (V,) or null: 1
    long long N, V, B, ignore;   // `ignore` is the target that does not count
    double smoothing;            // not together with of_class
    int is_mean, is_reduced;     // the mean, or the sum, or no reduction
};

// 1. largest = max y, and the sum of exp(y - largest)
// 2. the loss of the row, and its mass, the factor in the sum; both 0 where it does not count
// 3. the last block: the sums of both; the mean divides by the sum of the masses
extern "C" __global__ void cross_entropy_forward(
    const Real *ys, const Id *targets, const Options o, Real *losses, Real *largest, Real *total, Real *scale,
    bool *counts, Real *loss, Real *counted, unsigned *arrived)
{
    __shared__ Real of_warp[32];
    const long long n = blockIdx.x, id = (long long)targets[n];
    const Real *y = ys + n * o.V;

    Real most = -INFINITY;
    for (long long j = threadIdx.x; j < o.V; j += blockDim.x)
        most = y[j] > most ? y[j] : most;
    most = block_max(most, of_warp);
    Real of_exp = 0, of_logits = 0;
    for (long long j = threadIdx.x; j < o.V; j += blockDim.x) {
        of_exp += exp(y[j] - most);
        of_logits += y[j] - most;
    }
    of_exp = block_sum(of_exp, of_warp);
    if (o.smoothing != 0)
        of_logits = block_sum(of_logits, of_warp);

    if (threadIdx.x == 0) {
        const bool inside = 0 <= id && id < o.V;
        const bool active = o.lengths == nullptr || n / o.B < o.lengths[n % o.B];
        Real mass = id != o.ignore && active ? (o.weights == nullptr ? (Real)1 : o.weights[n]) : (Real)0;
        if (mass != 0 && o.of_class != nullptr)
            mass *= inside ? o.of_class[id] : (Real)NAN;
        Real own = 0;
        if (mass != 0) {
            const Real chosen = inside ? y[id] - most : (Real)NAN;  // an id outside shows in the loss, and stops an update
            own = log(of_exp) - (1 - (Real)o.smoothing) * chosen;
            if (o.smoothing != 0)
                own -= (Real)o.smoothing * (of_logits / o.V);
        }
        losses[n] = mass * own;
        scale[n] = mass;
        counts[n] = mass != 0;
        largest[n] = most;
        total[n] = of_exp;
    }

    if (!is_last_block(arrived))
        return;
    const volatile Real *all_losses = losses, *all_masses = scale;
    Real sum = 0, of_mass = 0;
    for (long long k = threadIdx.x; k < o.N; k += blockDim.x) {
        sum += all_losses[k];
        of_mass += all_masses[k];
    }
    sum = block_sum(sum, of_warp);
    of_mass = block_sum(of_mass, of_warp);
    const Real divisor = o.is_mean && of_mass != 0 ? of_mass : (Real)1;
    if (threadIdx.x == 0) {
        *counted = of_mass;
        if (o.is_reduced)
            *loss = sum / divisor;
    }
    if (o.is_mean)
        for (long long k = threadIdx.x; k < o.N; k += blockDim.x)
            scale[k] = all_masses[k] / divisor;
}

// dy = (p - q) scale dloss, 0 where the row does not count, whatever its logits and its dloss are
extern "C" __global__ void cross_entropy_backward(
    const Real *ys, const Id *targets, const Real *largest, const Real *total, const Real *scale, const Real *dlosses,
    Real *dys, long long V, double smoothing, double number, int step)
{
    const long long n = blockIdx.x, id = (long long)targets[n];
    const Real upstream = (Real)number * (dlosses == nullptr ? (Real)1 : dlosses[n * step]);
    const Real d = scale[n] == 0 ? (Real)0 : scale[n] * upstream;
    const Real most = largest[n], factor = d / total[n], spread = (Real)smoothing / V * d;
    const bool outside = id < 0 || id >= V;
    for (long long j = threadIdx.x; j < V; j += blockDim.x) {
        Real dy = 0;
        if (d != 0) {
            dy = exp(ys[n * V + j] - most) * factor - spread;
            if (j == id)
                dy -= (1 - (Real)smoothing) * d;
            if (outside)
                dy = NAN;
        }
        dys[n * V + j] = dy;
    }
}
