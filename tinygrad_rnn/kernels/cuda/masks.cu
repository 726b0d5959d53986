// Random masks by Philox4x64-10 (Salmon et al., 2011), the numbers of NumPy's `Philox` from its first on.
//
// A count gives four numbers of 64 bits, and from their halves, the lower one first, eight entries: `value` where the 32
// bits are below `threshold`, else 0. The mask is of runs of `size` entries. Run r has the entries from first + r * step
// on, of all that the key gives, and `threads` threads, one for each count that it has a part of. Before this: Real.

typedef unsigned long long Word;

extern "C" __global__ void random_mask(Word key0, Word key1, Word threshold, Real value, long long runs,
                                       long long size, long long first, long long step, long long threads, Real* mask)
{
    const long long i = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    const long long run = i / threads, begin = first + run * step, at = begin / 8 + i % threads;
    if (run >= runs) return;
    Word x0 = at + 1, x1 = 0, x2 = 0, x3 = 0;
    for (int round = 0; round < 10; round++) {
        const Word high0 = __umul64hi(0xD2E7470EE14C6C93ULL, x0), low0 = 0xD2E7470EE14C6C93ULL * x0;
        const Word high2 = __umul64hi(0xCA5A826395121157ULL, x2), low2 = 0xCA5A826395121157ULL * x2;
        x0 = high2 ^ x1 ^ key0;
        x1 = low2;
        x2 = high0 ^ x3 ^ key1;
        x3 = low0;
        key0 += 0x9E3779B97F4A7C15ULL;
        key1 += 0xBB67AE8584CAA73BULL;
    }
    const Word words[4] = {x0, x1, x2, x3};
#pragma unroll
    for (int j = 0; j < 8; j++) {  // unrolled, `words` are registers
        const Word bits = j % 2 ? words[j / 2] >> 32 : words[j / 2] & 0xFFFFFFFFULL;
        const long long entry = 8 * at + j - begin;
        if (entry >= 0 && entry < size) mask[run * size + entry] = bits < threshold ? value : Real(0);
    }
}
