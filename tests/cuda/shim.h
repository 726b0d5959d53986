// What a kernel of CUDA finds on the host, where `shim.cpp` runs it. That is compiled apart, and once for all kernels:
// its headers take the compiler as long as a kernel does.
#pragma once
#include <cmath>
#include <cstddef>

#define __device__
#define __global__
#define __launch_bounds__(...)
using std::exp;
using std::log;
using std::tanh;

struct Index { unsigned x, y; };
extern Index threadIdx, blockIdx, blockDim, gridDim;

namespace shim {

char* room();  // the shared memory of the block
double of_lane(double value, unsigned by);  // that of the lane so many further on in the warp; of none, its own

int launch(unsigned grid, unsigned block, size_t shared, unsigned seed, void (*kernel)(void*), void* itself);
template <class Body> int launch(unsigned grid, unsigned block, size_t shared, unsigned seed, Body body) {
    return launch(grid, block, shared, seed, [](void* itself) { (*(Body*)itself)(); }, &body);
}

}  // namespace shim

void __syncthreads();
void __nanosleep(unsigned);
inline void __threadfence() {}
unsigned atomicAdd(unsigned* address, unsigned number);
int atomicAdd(int* address, int number);
unsigned atomicExch(unsigned* address, unsigned number);
template <class T> T __shfl_down_sync(unsigned, T value, unsigned by) { return (T)shim::of_lane((double)value, by); }
template <class T> T __ldcg(const T* address) { return *address; }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned __int128)a * b >> 64;
}
