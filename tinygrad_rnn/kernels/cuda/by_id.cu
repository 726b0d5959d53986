// The sums of the rows that have the same id: total[v] += the sum of all d[n] with ids[n] == v, without atomic additions
// of numbers, so always in the same order. Before this: Real, Id, and sums.cu.
//
// `starts` (V + 1) says where the rows of each id begin in `order` (N), which has the rows sorted by id.

// Sorts by counting, in one block. 1. How many rows has each id, and which of them is a row? The latter depends on the
// order of the threads. 2. Where the rows of each id begin: running sums, a part of the ids in each thread.
// 3. Each row to its place.
extern "C" __global__ void sort_by_id(
    const Id *ids, long long N, long long V, int *starts, int *place, int *order)
{
    __shared__ int of_thread[1024];
    for (long long v = threadIdx.x; v <= V; v += blockDim.x)
        starts[v] = 0;
    __syncthreads();
    for (long long n = threadIdx.x; n < N; n += blockDim.x) {
        const long long id = (long long)ids[n];
        place[n] = 0 <= id && id < V ? atomicAdd(starts + id, 1) : -1;
    }
    __syncthreads();

    const long long part = (V + blockDim.x - 1) / blockDim.x, first = threadIdx.x * part;
    const long long last = first + part < V ? first + part : V;
    int sum = 0;
    for (long long v = first; v < last; ++v)
        sum += starts[v];
    of_thread[threadIdx.x] = sum;
    __syncthreads();
    int before = 0;
    for (int thread = 0; thread < threadIdx.x; ++thread)
        before += of_thread[thread];
    __syncthreads();
    for (long long v = first; v < last; ++v) {
        const int count = starts[v];
        starts[v] = before;
        before += count;
    }
    if (threadIdx.x == blockDim.x - 1)
        starts[V] = before;
    __syncthreads();

    for (long long n = threadIdx.x; n < N; n += blockDim.x)
        if (place[n] >= 0)
            order[starts[(long long)ids[n]] + place[n]] = (int)n;
}

// A block for each id, and for some columns of the M of a row; `wide` is how far apart the rows of `total` lie.
// 1. The rows of an id in their own order: the place of a row is how many of the others come before it.
// 2. Their sum.
extern "C" __global__ void add_rows(
    const Real *d, const int *starts, const int *order, int *sorted, Real *total, long long M, long long wide)
{
    const long long v = blockIdx.x, j = blockIdx.y * (long long)blockDim.x + threadIdx.x;
    const int first = starts[v], count = starts[v + 1] - first;
    int *mine = sorted + (long long)blockIdx.y * starts[gridDim.x] + first;  // of this block alone
    if (!count)
        return;
    for (int i = threadIdx.x; i < count; i += blockDim.x) {
        const int n = order[first + i];
        int before = 0;
        for (int k = 0; k < count; ++k)
            before += order[first + k] < n;
        mine[before] = n;
    }
    __syncthreads();
    if (j >= M)
        return;
    Real sum = 0;
    for (int i = 0; i < count; ++i)
        sum += d[mine[i] * M + j];
    total[v * wide + j] += sum;
}
