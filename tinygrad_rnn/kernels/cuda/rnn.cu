// The steps of the simple recurrent network. Notation and shapes are those of kernels/rnn.py. `active` and `starts` (T, B)
// are null where they are None.

struct Forward {
    Real* hs;           // (T + 1, B, H), from hs[1] on x_t @ w_x + b on entry
    Real* h_prev;       // (T, B, H): hs itself where no document begins; of the first step it is set
    const Real* begun;  // (B, H)
    const bool *active, *starts;
    int T, B, H, relu;

    // 2. h_t = f(x_t @ w_x + b + h_{t-1} @ w_h). Gives what step t + 1 starts from.
    __device__ Real unit(int t, int b, int j, const Real* from_h) const {
        const size_t row = (size_t)t * B + b, at = row * H + j, after = at + (size_t)B * H;
        const Real a = hs[after] + from_h[0];
        Real h = relu ? (a < 0 ? Real(0) : a) : tanh(a);  // NaN stays NaN
        if (active && !active[row]) h = h_prev[at];  // past its end a row keeps its state
        hs[after] = h;
        if (starts && t + 1 < T) {
            if (starts[row + B]) h = begun[(size_t)b * H + j];
            h_prev[after] = h;
        }
        return h;
    }
};

struct Backward {
    const Real *h, *dys;
    Real* das;      // (T, B, H)
    Real* dh;       // (B, H), all that comes back from step t + 1; then dh_{t-1} less da_t @ w_h.T
    Real* dbegun;   // (B, H)
    const bool *active, *starts;
    int T, B, H, relu;

    __device__ void unit(int t, int b, int j, Real* da) const {
        const size_t row = (size_t)t * B + b, at = row * H + j, state = (size_t)b * H + j;

        // 1. What reaches h_t; nothing comes from a document that begins at step t + 1.
        Real to_h = dh[state];
        if (starts && t + 1 < T && starts[row + B]) {
            dbegun[state] += to_h;
            to_h = 0;
        }
        to_h += dys[at];

        // 2. da_t = f'(a_t) * dh, with f'(a_t) from h_t. Through a row that has ended, where dys is 0, dh
        //    goes straight.
        if (active && !active[row]) {
            da[0] = 0;
        } else {
            da[0] = (relu ? Real(h[at] > 0) : 1 - h[at] * h[at]) * to_h;
            dh[state] = 0;
        }
        das[at] = da[0];
    }
};

extern "C" __global__ void forward_step(Forward s, const Real* from_h, int t) { fused_forward<1>(s, from_h, t); }

extern "C" __global__ void backward_step(Backward s, int t) { fused_backward<1>(s, t); }

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
forward_all(Forward s, const Real* w_h, Real* board, unsigned* arrived) {
    persistent_forward<1>(s, w_h, board, arrived);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
backward_all(Backward s, const Real* w_h, Real* board, unsigned* arrived) {
    persistent_backward<1, 0, 1>(s, w_h, board, arrived);
}
