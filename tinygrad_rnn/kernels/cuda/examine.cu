// Looks at a gradient of P numbers: its norm, and whether it may reach the weights. Before this: Real, and sums.cu.
//
// The norm is scale * sqrt(squares), where a double has no room for the squares themselves; in float it has, and scale
// is 1. What is not finite is kept apart, in `odd`: inf if all of it is infinite, else NaN.

enum { PROPAGATE, REFUSE, SKIP };

struct Verdict {
    Real *norm, *factor;                   // of the clipper; then whether the gradient passes, 1 or 0
    long long *first, *stopped, *skipped;  // the tallies of `optim.finite.Door`
    double max_norm;                       // of ClipNorm, or infinite
    long long P;
    int mode;
};

// 1. each block looks at a part      2. the last block joins the parts, always in the same order
// 3. its first thread decides and counts
extern "C" __global__ void examine(
    const Real *grad, const Verdict v, double *scales, double *squares, double *odds, long long *lefts, unsigned *arrived)
{
    __shared__ double of_warp[32];
    __shared__ long long left_of_warp[32];
    double scale = sizeof(Real) == 4 ? 1 : 0, square = 0, odd = 0;
    long long left = 0;  // how many numbers there are from the first that is not finite on
    for (long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x; i < v.P; i += gridDim.x * (long long)blockDim.x) {
        const double a = fabs((double)grad[i]);
        if (!(a < INFINITY)) {
            odd += a;
            left = v.P - i > left ? v.P - i : left;
        } else if (a > scale && sizeof(Real) == 8) {
            square = square * (scale / a) * (scale / a) + 1;
            scale = a;
        } else if (a > 0)
            square += (a / scale) * (a / scale);
    }
    double most = block_max(scale, of_warp);
    square = block_sum(most > 0 ? square * (scale / most) * (scale / most) : 0.0, of_warp);
    odd = block_sum(odd, of_warp);
    left = block_max(left, left_of_warp);
    if (threadIdx.x == 0) {
        scales[blockIdx.x] = most;
        squares[blockIdx.x] = square;
        odds[blockIdx.x] = odd;
        lefts[blockIdx.x] = left;
    }

    if (!is_last_block(arrived))
        return;
    const volatile double *all_scales = scales, *all_squares = squares, *all_odds = odds;
    const volatile long long *all_lefts = lefts;
    scale = odd = 0, left = 0;
    for (int k = threadIdx.x; k < gridDim.x; k += blockDim.x) {
        scale = all_scales[k] > scale ? all_scales[k] : scale;
        odd += all_odds[k];
        left = all_lefts[k] > left ? all_lefts[k] : left;
    }
    most = block_max(scale, of_warp);
    square = 0;
    for (int k = threadIdx.x; k < gridDim.x; k += blockDim.x)
        square += most > 0 ? all_squares[k] * (all_scales[k] / most) * (all_scales[k] / most) : 0.0;
    square = block_sum(square, of_warp);
    odd = block_sum(odd, of_warp);
    left = block_max(left, left_of_warp);

    if (threadIdx.x == 0) {
        const Real norm = odd == 0 ? most * sqrt(square) : odd, max_norm = v.max_norm;
        const long long at = left > 0 ? v.P - left : -1;
        bool passes = true;
        if (v.mode == REFUSE) {
            if (*v.first < 0)
                *v.first = at;
            passes = *v.first < 0;
            *v.stopped += !passes;
        } else if (v.mode == SKIP) {
            passes = at < 0;
            *v.skipped += !passes;
        }
        const Real least = max_norm > 0 ? max_norm : (Real)1;
        *v.norm = passes ? norm : (Real)NAN;
        v.factor[0] = max_norm < INFINITY ? max_norm / (norm <= least ? least : norm) : (Real)1;
        v.factor[1] = passes;
    }
}
