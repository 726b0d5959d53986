// The steps of the LSTM. Notation and shapes are those of kernels/lstm.py, but here the gates lie beside the units:
// `gates` is (T, B, 4, H), in the order i, f, o, g. `active` and `starts` (T, B) are null where they are None, and so is `p`
// (3, H), the peepholes of i, f and o, where there are none.

struct Forward {
    Real* gates;            // x_t @ w_x + b on entry
    Real *hs, *cs;          // (T + 1, B, H)
    Real *h_prev, *c_prev;  // (T, B, H): hs and cs themselves where no document begins; of the first step they are set
    const Real *p, *begun_h, *begun_c;  // `begun` (B, H)
    const bool *active, *starts;
    int T, B, H;

    // 3. The gates of x_t @ w_x + b + h_{t-1} @ w_h, then c_t = f * c_{t-1} + i * g and h_t = o * tanh(c_t). Gives what
    //    step t + 1 starts from.
    __device__ Real unit(int t, int b, int j, const Real* from_h) const {
        const size_t row = (size_t)t * B + b, at = row * H + j, after = at + (size_t)B * H;
        Real* a = gates + row * 4 * H + j;
        Real a_i = a[0] + from_h[0], a_f = a[H] + from_h[1], a_o = a[2 * H] + from_h[2];
        if (p) {  // i and f see the old memory
            a_i += p[j] * c_prev[at];
            a_f += p[H + j] * c_prev[at];
        }
        const Real i = sigmoid(a_i), f = sigmoid(a_f), g = tanh(a[3 * H] + from_h[3]);
        Real c = f * c_prev[at] + i * g;
        if (p) a_o += p[2 * H + j] * c;  // o sees the new memory
        const Real o = sigmoid(a_o);
        Real h = o * tanh(c);
        if (active && !active[row]) {  // past its end a row keeps its state
            c = c_prev[at];
            h = h_prev[at];
        }
        a[0] = i;
        a[H] = f;
        a[2 * H] = o;
        a[3 * H] = g;
        cs[after] = c;
        hs[after] = h;
        if (starts && t + 1 < T) {
            if (starts[row + B]) {
                h = begun_h[(size_t)b * H + j];
                c = begun_c[(size_t)b * H + j];
            }
            h_prev[after] = h;
            c_prev[after] = c;
        }
        return h;
    }
};

struct Backward {
    const Real *gates, *c_prev, *c, *p, *dys;
    Real* das;                   // (T, B, 4, H)
    Real *dh, *dc;               // (B, H), all that comes back from step t + 1; then dh_{t-1} less da_t @ w_h.T
    Real *dbegun_h, *dbegun_c;   // (B, H)
    const bool *active, *starts;
    int T, B, H;

    __device__ void unit(int t, int b, int j, Real* da) const {
        const size_t row = (size_t)t * B + b, at = row * H + j, state = (size_t)b * H + j;
        const Real* gate = gates + row * 4 * H + j;
        const Real i = gate[0], f = gate[H], o = gate[2 * H], g = gate[3 * H];

        // 1. What reaches h_t and c_t; nothing comes from a document that begins at step t + 1.
        Real to_h = dh[state], to_c = dc[state];
        if (starts && t + 1 < T && starts[row + B]) {
            dbegun_h[state] += to_h;
            dbegun_c[state] += to_c;
            to_h = to_c = 0;
        }
        to_h += dys[at];

        // 2. da_t, then dc_{t-1} = dc * f. Through a row that has ended, where dys is 0, both go straight.
        if (active && !active[row]) {
            da[0] = da[1] = da[2] = da[3] = 0;
        } else {
            const Real tanh_c = tanh(c[at]);
            da[2] = (1 - o) * o * tanh_c * to_h;
            to_c += to_h * (o * (1 - tanh_c * tanh_c));
            if (p) to_c += da[2] * p[2 * H + j];
            da[0] = (1 - i) * i * g * to_c;
            da[1] = (1 - f) * f * c_prev[at] * to_c;
            da[3] = (1 - g * g) * i * to_c;
            dh[state] = 0;
            dc[state] = to_c * f;
            if (p) dc[state] += da[0] * p[j] + da[1] * p[H + j];
        }
        for (int k = 0; k < 4; k++) das[(row * 4 + k) * H + j] = da[k];
    }
};

extern "C" __global__ void forward_step(Forward s, const Real* from_h, int t) { fused_forward<4>(s, from_h, t); }

extern "C" __global__ void backward_step(Backward s, int t) { fused_backward<4>(s, t); }

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
forward_all(Forward s, const Real* w_h, Real* board, unsigned* arrived) {
    persistent_forward<4>(s, w_h, board, arrived);
}

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1)
backward_all(Backward s, const Real* w_h, Real* board, unsigned* arrived) {
    persistent_backward<4, 0, 4>(s, w_h, board, arrived);
}
