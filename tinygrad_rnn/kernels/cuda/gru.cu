// The steps of the GRU whose reset comes after the product. Notation and shapes are those of kernels/gru.py, but here the
// gates lie beside the units: `gates` is (T, B, 3, H), in the order r, z, n. `active` and `starts` (T, B) are null where
// they are None.

struct Forward {
    Real* gates;       // x_t @ w_x + b on entry
    Real *hs, *ms;     // (T + 1, B, H) and (T, B, H)
    Real* h_prev;      // (T, B, H): hs itself where no document begins; of the first step it is set
    const Real* b_h;   // (H,)
    const Real* begun;  // (B, H)
    const bool *active, *starts;
    int T, B, H;

    // Gives what step t + 1 starts from.
    __device__ Real unit(int t, int b, int j, const Real* from_h) const {
        const size_t row = (size_t)t * B + b, at = row * H + j, after = at + (size_t)B * H;
        Real* a = gates + row * 3 * H + j;

        // 3. r_t, z_t and m_t = h_{t-1} @ w_hn + b_h.
        const Real r = sigmoid(a[0] + from_h[0]), z = sigmoid(a[H] + from_h[1]), m = from_h[2] + b_h[j];

        // 4. n_t = tanh(x_t @ w_xn + b_n + r_t * m_t) and h_t = z_t * h_{t-1} + (1 - z_t) * n_t.
        const Real n = tanh(a[2 * H] + r * m), kept = h_prev[at];
        Real h = z * kept + (1 - z) * n;
        if (active && !active[row]) h = kept;  // past its end a row keeps its state
        a[0] = r;
        a[H] = z;
        a[2 * H] = n;
        ms[at] = m;
        hs[after] = h;
        if (starts && t + 1 < T) {
            if (starts[row + B]) h = begun[(size_t)b * H + j];
            h_prev[after] = h;
        }
        return h;
    }
};

struct Backward {
    const Real *gates, *h_prev, *m, *dys;
    Real* das;      // (T, B, 4, H): dm_t, da^r_t, da^z_t, da^n_t
    Real* dh;       // (B, H), all that comes back from step t + 1; then dh_{t-1} less what comes through w_h
    Real* dbegun;   // (B, H)
    const bool *active, *starts;
    int T, B, H;

    __device__ void unit(int t, int b, int j, Real* da) const {
        const size_t row = (size_t)t * B + b, at = row * H + j, state = (size_t)b * H + j;
        const Real* gate = gates + row * 3 * H + j;
        const Real r = gate[0], z = gate[H], n = gate[2 * H];

        // 1. What reaches h_t; nothing comes from a document that begins at step t + 1.
        Real to_h = dh[state];
        if (starts && t + 1 < T && starts[row + B]) {
            dbegun[state] += to_h;
            to_h = 0;
        }
        to_h += dys[at];

        // 2. The gradients at step t, then dh_{t-1} = dh * z_t. Through a row that has ended, where dys is 0, it goes
        //    straight.
        if (active && !active[row]) {
            da[0] = da[1] = da[2] = da[3] = 0;
        } else {
            da[3] = (1 - n * n) * (1 - z) * to_h;
            da[0] = da[3] * r;
            da[1] = da[0] * m[at] * (1 - r);
            da[2] = (h_prev[at] - n) * z * (1 - z) * to_h;
            dh[state] = to_h * z;
        }
        for (int k = 0; k < 4; k++) das[(row * 4 + k) * H + j] = da[k];
    }
};

extern "C" __global__ void forward_step(Forward s, const Real* from_h, int t) { fused_forward<3>(s, from_h, t); }

extern "C" __global__ void backward_step(Backward s, int t) { fused_backward<4>(s, t); }

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
forward_all(Forward s, const Real* w_h, Real* board, unsigned* arrived) {
    persistent_forward<3>(s, w_h, board, arrived);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
backward_all(Backward s, const Real* w_h, Real* board, unsigned* arrived) {
    persistent_backward<3, 2, 4>(s, w_h, board, arrived);  // dm_t flows through the columns of n, the last ones
}
