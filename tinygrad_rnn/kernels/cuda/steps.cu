// How the kernels of every cell go through the steps of a sequence. A cell gives the arithmetic of one unit of one row.
//
// Notation: T steps, B rows, H units, G gates. `Real` is float or double, and UNITS a number; whoever compiles this
// defines both. The struct of a cell, `Forward` or `Backward`, holds the arrays of all steps and has a function `unit`,
// which takes step t of unit j of row b. It reads and writes only what belongs to that unit and row.
//
// fused: a launch a step, between products that cuBLAS computes. A thread takes a unit of a row.
// persistent: one launch for all steps. A block owns UNITS units of all rows. It keeps their part of the recurrent
// weights in shared memory from the first step to the last, and the blocks meet at a barrier once a step. They tell each
// other h_t, or da_t, on a `board` in global memory, with the rows of the batch along its last axis. It has two sides,
// for even and odd steps: a block that is ahead writes one while the others still read the other one.

#define WARPS 8  // of a block; of 32 threads

// Exactly 0 or 1 where it is saturated, because tanh is exactly -1 or 1 there.
__device__ inline Real sigmoid(Real a) { return Real(0.5) * tanh(Real(0.5) * a) + Real(0.5); }

// A step of a fused forward: `from_h` (B, G*H) is h_{t-1} @ w_h.
template <int GATES, class Steps>
__device__ void fused_forward(const Steps& s, const Real* from_h, int t) {
    const size_t e = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (e >= (size_t)s.B * s.H) return;
    const int b = e / s.H, j = e % s.H;
    Real sums[GATES];
    for (int k = 0; k < GATES; k++) sums[k] = from_h[((size_t)b * GATES + k) * s.H + j];
    s.unit(t, b, j, sums);
}

// A step of a fused backward: da_t (WIDTH numbers a unit) from `dh`, to which cuBLAS adds da_t @ w_h.T afterwards.
template <int WIDTH, class Steps>
__device__ void fused_backward(const Steps& s, int t) {
    const size_t e = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (e >= (size_t)s.B * s.H) return;
    Real da[WIDTH];
    s.unit(t, e / s.H, e % s.H, da);
}

// A barrier of all blocks. They all run at once, for the launch is cooperative. `arrived` begins as 0 and only grows.
__device__ inline void meet(unsigned* arrived, unsigned expected) {
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();  // what the block has written is seen before its arrival
        atomicAdd(arrived, 1u);
        while (*(volatile unsigned*)arrived < expected) __nanosleep(20);
        __threadfence();
    }
    __syncthreads();
}

// Sets `parts` (WARPS, N, 32) to the products of 32 rows from `row` on with `w` (K, N), which lies in shared memory.
// Each warp takes its part of K, and each of its lanes a row. `x` (K, B) is a side of the board.
template <int N>
__device__ void multiply(const Real* x, const Real* w, int K, int B, int row, Real* parts) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    Real sums[N];
#pragma unroll
    for (int n = 0; n < N; n++) sums[n] = 0;
    if (row + lane < B) {
#pragma unroll 4
        for (int k = warp; k < K; k += WARPS) {
            const Real number = __ldcg(x + (size_t)k * B + row + lane);  // not from L1, which may hold an older step
#pragma unroll
            for (int n = 0; n < N; n++) sums[n] += number * w[k * N + n];
        }
    }
#pragma unroll
    for (int n = 0; n < N; n++) parts[(warp * N + n) * 32 + lane] = sums[n];
}

// Column n of the product of the row of `lane`.
template <int N>
__device__ Real total(const Real* parts, int n, int lane) {
    Real sum = 0;
    for (int warp = 0; warp < WARPS; warp++) sum += parts[(warp * N + n) * 32 + lane];
    return sum;
}

// All steps forward. `w_h` is (H, G*H), `board` (2, H, B).
template <int GATES, class Steps>
__device__ void persistent_forward(const Steps& s, const Real* w_h, Real* board, unsigned* arrived) {
    constexpr int N = GATES * UNITS;
    extern __shared__ Real room[];
    Real *w = room, *parts = room + s.H * N;  // w is (H, N), its columns gate by gate
    const int B = s.B, H = s.H, first = blockIdx.x * UNITS;

    // 1. The columns of w_h of the block's units, and their h_0.
    for (int e = threadIdx.x; e < H * N; e += blockDim.x) {
        const int k = e / N, gate = e % N / UNITS, j = first + e % UNITS;
        w[e] = j < H ? w_h[((size_t)k * GATES + gate) * H + j] : Real(0);
    }
    for (int e = threadIdx.x; e < UNITS * B; e += blockDim.x) {
        const int b = e % B, j = first + e / B;
        if (j < H) board[(size_t)j * B + b] = s.h_prev[(size_t)b * H + j];
    }
    meet(arrived, gridDim.x);

    for (int t = 0; t < s.T; t++) {
        const Real* before = board + (size_t)(t % 2) * H * B;
        Real* after = board + (size_t)((t + 1) % 2) * H * B;
        for (int row = 0; row < B; row += 32) {
            // 2. h_{t-1} @ w_h of 32 rows.
            multiply<N>(before, w, H, B, row, parts);
            __syncthreads();
            // 3. The units of the block in these rows.
            for (int e = threadIdx.x; e < UNITS * 32; e += blockDim.x) {
                const int lane = e % 32, u = e / 32, b = row + lane, j = first + u;
                if (b >= B || j >= H) continue;
                Real sums[GATES];
                for (int k = 0; k < GATES; k++) sums[k] = total<N>(parts, k * UNITS + u, lane);
                after[(size_t)j * B + b] = s.unit(t, b, j, sums);
            }
            __syncthreads();  // before `parts` are those of other rows
        }
        meet(arrived, (t + 2) * gridDim.x);
    }
}

// All steps back. Of the WIDTH gradients of a unit, da_t, the first GATES flow through `w_h` (H, G*H), whose columns of
// gate (k + SHIFT) % GATES belong to gradient k. `board` is (2, G*H, B).
template <int GATES, int SHIFT, int WIDTH, class Steps>
__device__ void persistent_backward(const Steps& s, const Real* w_h, Real* board, unsigned* arrived) {
    extern __shared__ Real room[];
    Real *w = room, *parts = room + GATES * s.H * UNITS;  // w is (G*H, UNITS)
    const int B = s.B, H = s.H, K = GATES * H, first = blockIdx.x * UNITS;

    // 1. The rows of w_h of the block's units, transposed.
    for (int e = threadIdx.x; e < K * UNITS; e += blockDim.x) {
        const int k = e % K, u = e / K, gate = (k / H + SHIFT) % GATES;
        w[k * UNITS + u] = first + u < H ? w_h[(size_t)(first + u) * K + gate * H + k % H] : Real(0);
    }

    for (int t = s.T - 1; t >= 0; t--) {
        Real* side = board + (size_t)(t % 2) * K * B;
        // 2. da_t of the block's units, for all.
        for (int e = threadIdx.x; e < UNITS * B; e += blockDim.x) {
            const int b = e % B, j = first + e / B;
            if (j >= H) continue;
            Real da[WIDTH];
            s.unit(t, b, j, da);
            for (int k = 0; k < GATES; k++) side[((size_t)k * H + j) * B + b] = da[k];
        }
        meet(arrived, (s.T - t) * gridDim.x);

        // 3. dh_{t-1} gets da_t @ w_h.T.
        for (int row = 0; row < B; row += 32) {
            multiply<UNITS>(side, w, K, B, row, parts);
            __syncthreads();
            for (int e = threadIdx.x; e < UNITS * 32; e += blockDim.x) {
                const int lane = e % 32, u = e / 32, b = row + lane, j = first + u;
                if (b < B && j < H) s.dh[(size_t)b * H + j] += total<UNITS>(parts, u, lane);
            }
            __syncthreads();  // before `parts` are those of other rows, and before step 2 reads dh
        }
    }
}
