// What the kernels that add up have in common: sums over a block, always in the same order, and the last block of a
// grid, which adds up what all blocks have left.
//
// A block has at most 1024 threads, a multiple of 32. `of_warp` is shared memory, a number for each 32 of them.

#ifndef INFINITY  // the compiler of CUDA alone has no <math.h>
#define INFINITY __int_as_float(0x7f800000)
#define NAN __int_as_float(0x7fffffff)
#endif

template <typename T>
__device__ T block_sum(T value, T *of_warp)
{
    for (int by = 16; by; by /= 2)
        value += __shfl_down_sync(0xffffffffu, value, by);
    __syncthreads();  // the sum before may still be read
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    T sum = 0;
    for (int warp = 0; warp < blockDim.x / 32; ++warp)
        sum += of_warp[warp];
    return sum;
}

template <typename T>
__device__ T block_max(T value, T *of_warp)
{
    for (int by = 16; by; by /= 2) {
        const T other = __shfl_down_sync(0xffffffffu, value, by);
        value = other > value ? other : value;
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0)
        of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    T most = of_warp[0];
    for (int warp = 1; warp < blockDim.x / 32; ++warp)
        most = of_warp[warp] > most ? of_warp[warp] : most;
    return most;
}

// Whether this is the last block of the grid to come here: it sees what all others have written, by volatile reads.
// `arrived` is 0 before the first, and again after the last, so that the next launch finds it as this one did.
__device__ bool is_last_block(unsigned *arrived)
{
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(arrived, 1u) == gridDim.x - 1;
        if (last)
            atomicExch(arrived, 0u);
    }
    __syncthreads();
    __threadfence();
    return last;
}
