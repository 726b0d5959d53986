// The sums of the rows that have the same id: total[v] += the sum of all d[n] with ids[n] == v, in the order of n and
// without atomic additions of numbers, so always the same to the bit. Before this: Real, Id, and sums.cu.
//
// `starts` (V + 1) says where the rows of each id begin in `order` (N), which has the rows sorted by id. An id that is not
// 0 to V - 1 has no row.

// Sorts by counting, in one block of at most 1024 threads.
extern "C" __global__ void sort_by_id(
    const Id *ids, long long N, long long V, int *starts, int *next, int *order)
{
    __shared__ int of_thread[1024];

    // 1. How many rows each id has.
    for (long long v = threadIdx.x; v <= V; v += blockDim.x)
        starts[v] = 0;
    __syncthreads();
    for (long long n = threadIdx.x; n < N; n += blockDim.x) {
        const long long id = (long long)ids[n];
        if (0 <= id && id < V)
            atomicAdd(starts + id, 1);
    }
    __syncthreads();

    // 2. Where the rows of each id begin: running sums, of a part of the ids in each thread.
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
    for (long long v = first; v < last; ++v) {
        const int count = starts[v];
        starts[v] = next[v] = before;
        before += count;
    }
    if (threadIdx.x == blockDim.x - 1)
        starts[V] = before;

    // 3. Each row to its place, as many rows at once as there are threads: behind those of the same id that came before
    //    it. The last one with an id says where the `next` begins.
    for (long long n = threadIdx.x; n - threadIdx.x < N; n += blockDim.x) {
        const long long id = n < N ? (long long)ids[n] : -1;
        const bool inside = 0 <= id && id < V;
        __syncthreads();  // `of_thread` and `next` are those of the rows before
        of_thread[threadIdx.x] = inside ? (int)id : -1;
        __syncthreads();
        int earlier = 0, later = 0;
        for (int thread = 0; thread < blockDim.x; ++thread) {
            const bool same = of_thread[thread] == id;
            earlier += same && thread < threadIdx.x;
            later += same && thread > threadIdx.x;
        }
        const int at = inside ? next[id] + earlier : 0;
        __syncthreads();  // before `next` changes
        if (inside) {
            order[at] = (int)n;
            if (!later)
                next[id] = at + 1;
        }
    }
}

// A block for each id, and for some columns of the M of a row; `wide` is how far apart the rows of `total` lie.
extern "C" __global__ void add_rows(
    const Real *d, const int *starts, const int *order, Real *total, long long M, long long wide)
{
    const long long v = blockIdx.x, j = blockIdx.y * (long long)blockDim.x + threadIdx.x;
    if (j >= M || starts[v] == starts[v + 1])
        return;
    Real sum = 0;
    for (int i = starts[v]; i < starts[v + 1]; ++i)
        sum += d[order[i] * M + j];
    total[v * wide + j] += sum;
}
