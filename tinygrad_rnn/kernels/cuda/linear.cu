// The linear recurrence: a thread for each unit of each row, which goes through all the steps. Notation and shapes are
// those of kernels/plain/linear.py. `active` and `starts` (T, B) are null where they are None.

// Of `hs` (T + 1, B, H), the first is given. `h_prev` (T, B, H) is set where `starts` is not null, else it is `hs`
// itself; `begun` is (B, H).
extern "C" __global__ void linear_forward(
    Real *hs, Real *h_prev, const Real *begun, const Real *a, const Real *b,
    const bool *active, const bool *starts, int T, int B, int H)
{
    const size_t size = (size_t)B * H, n = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= size)
        return;
    const size_t row = n / H;
    Real h = hs[n];
    for (int t = 0; t < T; ++t) {
        const size_t at = t * size + n, flag = (size_t)t * B + row;
        if (starts) {
            if (starts[flag])
                h = begun[n];
            h_prev[at] = h;
        }
        if (!active || active[flag])  // past its end a row keeps its state
            h = a[at] * h + b[at];
        hs[at + size] = h;
    }
}

// `dhs` (T, B, H) are the gradients w.r.t. the outputs, then all that reaches each state; `dh` (B, H) is what comes back
// from after the last step, then from the first one; it adds to `dbegun` (B, H).
extern "C" __global__ void linear_backward(
    Real *dhs, Real *dh, Real *dbegun, const Real *a,
    const bool *active, const bool *starts, int T, int B, int H)
{
    const size_t size = (size_t)B * H, n = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= size)
        return;
    const size_t row = n / H;
    Real back = dh[n];
    for (int t = T - 1; t >= 0; --t) {
        const size_t at = t * size + n, flag = (size_t)t * B + row;
        if (!active || active[flag]) {  // through a row that has ended, dh goes straight
            dhs[at] += back;
            back = a[at] * dhs[at];
        }
        if (starts && starts[flag]) {
            dbegun[n] += back;
            back = 0;
        }
    }
    dh[n] = back;
}
