// Runs a kernel of CUDA on the host. Each of its threads is a fiber, which runs until it waits for others: at a barrier
// of its block, at an atomic operation, or while it sleeps. `seed` is the order in which those that may run do: 0 as
// they are numbered, 1 backwards, from 2 on at random: where it is even, with some blocks far ahead of others; where it
// is odd, with some threads far ahead, of whatever block, and with threads that wake up before others have run.
//
// Shared memory begins as NaN, and lies between pages that nobody may touch, as do the arrays of `guarded`.
#undef _FORTIFY_SOURCE  // which takes a jump to the stack of another fiber for a mistake
#include "shim.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

Index threadIdx, blockIdx, blockDim, gridDim;

namespace shim {

enum Outcome { FINE, DEADLOCK, OUT_OF_BOUNDS };
enum State { READY, SLEEPS, AT_BARRIER, AT_WARP, DONE };
struct Fiber { jmp_buf at; bool begun; char* stack; unsigned block, thread; State state; unsigned priority; };

const size_t PAGE = 4096, STACK = 64 << 10;
static std::vector<Fiber> fibers;
static std::vector<unsigned long long> ready;  // a heap of the ranks of those that are
static std::vector<char*> rooms;  // the shared memory of each block
static Fiber* running;
static jmp_buf scheduler;
static void (*kernel)(void*);
static void* kernel_itself;
static unsigned long long numbers;  // what the next random number comes from
static unsigned order;  // `seed`
static unsigned long idle;  // how often threads have slept since another did anything
static sigjmp_buf escape;
static std::vector<std::pair<char*, size_t>> mapped;  // by `guarded`

// Memory of so many bytes that a page without access follows, or, if not `at_end`, precedes.
extern "C" char* guarded(size_t bytes, int at_end) {
    const size_t inside = (bytes + PAGE - 1) / PAGE * PAGE;
    char* all = (char*)mmap(nullptr, inside + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (inside) mprotect(all + PAGE, inside, PROT_READ | PROT_WRITE);
    memset(all + PAGE, 0xff, inside);  // NaN
    mapped.push_back({all, inside + 2 * PAGE});
    return all + PAGE + (at_end ? inside - bytes : 0);
}

extern "C" void free_guarded() {
    for (auto& part : mapped) munmap(part.first, part.second);
    mapped.clear();
}

// 24 bits. The header <random> takes the compiler as long as a kernel does.
static unsigned random_number() {
    numbers = numbers * 6364136223846793005ull + 1442695040888963407ull;
    return numbers >> 40;
}

static unsigned priority(const Fiber& fiber) {
    const unsigned number = &fiber - &fibers[0];
    if (order < 2) return order ? number : ~number;
    const unsigned thread = random_number() % (1 << 20);
    return order % 2 ? thread : ((fiber.block * 2654435761u * order) >> 24 << 20) + thread;
}

// By priority, then by number from the last one.
static unsigned long long rank(const Fiber& fiber) {
    return (unsigned long long)fiber.priority << 32 | (unsigned)(&fibers.back() - &fiber);
}

static void make_ready(Fiber& fiber) {
    fiber.state = READY;
    ready.push_back(rank(fiber));
    std::push_heap(ready.begin(), ready.end());
}

static Fiber* take_ready() {
    std::pop_heap(ready.begin(), ready.end());
    Fiber* first = &fibers.back() - (unsigned)ready.back();
    ready.pop_back();
    return first;
}

static void pause(State state) {
    running->state = state;
    if (state == READY) make_ready(*running);
    idle = state == SLEEPS ? idle + 1 : 0;
    if (!_setjmp(running->at)) _longjmp(scheduler, 1);
}

static void begin() {
    kernel(kernel_itself);
    pause(DONE);
}

// Lets a fiber run until it pauses. `swapcontext` would, too, but asks the system for the signal mask at every switch,
// which takes longer than all else.
static void resume(Fiber& fiber) {
    running = &fiber;
    threadIdx.x = fiber.thread;
    blockIdx.x = fiber.block;
    if (_setjmp(scheduler)) return;
    if (fiber.begun) _longjmp(fiber.at, 1);
    fiber.begun = true;
    static ucontext_t first;
    getcontext(&first);
    first.uc_stack.ss_sp = fiber.stack;
    first.uc_stack.ss_size = STACK;
    makecontext(&first, begin, 0);
    setcontext(&first);
}

static void out_of_bounds(int) { siglongjmp(escape, 1); }

// The next one: of those that are ready that of the highest priority, else, in turn, of those that sleep. Where the
// order is odd, one that sleeps comes before at times.
static Fiber* next() {
    if (idle > 100 * fibers.size()) return nullptr;
    Fiber* sleeper = nullptr;
    const bool early = order > 1 && order % 2 && random_number() % 4 == 0;
    if (!ready.empty() && !early) return take_ready();
    static size_t last = 0;
    for (size_t i = 0; i < fibers.size() && !sleeper; i++) {
        Fiber& fiber = fibers[++last % fibers.size()];
        if (fiber.state == SLEEPS) sleeper = &fiber;
    }
    return sleeper ? sleeper : ready.empty() ? nullptr : take_ready();
}

// Lets those go on that wait at a barrier for which all threads of their block are there.
static void release(unsigned block) {
    const unsigned first = block * blockDim.x;
    for (unsigned i = 0; i < blockDim.x; i++)
        if (fibers[first + i].state != AT_BARRIER) return;
    for (unsigned i = 0; i < blockDim.x; i++) {
        fibers[first + i].priority = priority(fibers[first + i]);
        make_ready(fibers[first + i]);
    }
}

// Likewise for the 32 threads of a warp.
static void release_warp(Fiber& fiber) {
    Fiber* first = &fibers[fiber.block * blockDim.x + fiber.thread / 32 * 32];
    for (unsigned i = 0; i < 32; i++)
        if (first[i].state != AT_WARP) return;
    for (unsigned i = 0; i < 32; i++) make_ready(first[i]);
}

static std::vector<double> slots;  // what each thread shows to its warp

char* room() { return rooms[blockIdx.x]; }

double of_lane(double value, unsigned by) {
    double* mine = &slots[(size_t)blockIdx.x * blockDim.x + threadIdx.x];
    *mine = value;
    pause(AT_WARP);
    const double other = threadIdx.x % 32 + by < 32 ? mine[by] : value;
    pause(AT_WARP);
    return other;
}

// Memory for as many stacks, which the next launch uses again.
static char* stacks_of(size_t fibers) {
    static char* stacks = nullptr;
    static size_t had = 0;
    if (fibers > had) {
        if (had) munmap(stacks, had * STACK);
        had = fibers;
        stacks = (char*)mmap(nullptr, had * STACK, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    return stacks;
}

int launch(unsigned grid, unsigned block, size_t shared, unsigned seed, void (*run)(void*), void* itself) {
    kernel = run;
    kernel_itself = itself;
    numbers = seed;
    order = seed;
    idle = 0;
    gridDim.x = grid;
    blockDim.x = block;
    fibers.assign((size_t)grid * block, Fiber());
    ready.clear();
    rooms.clear();
    slots.assign((size_t)grid * block, 0);
    for (unsigned b = 0; b < grid; b++) rooms.push_back(guarded(shared, true));
    char* stacks = stacks_of(fibers.size());
    for (unsigned i = 0; i < fibers.size(); i++) {
        Fiber& fiber = fibers[i];
        fiber.block = i / block;
        fiber.thread = i % block;
        fiber.stack = stacks + i * STACK;
        fiber.priority = priority(fiber);
        make_ready(fiber);
    }
    static char alternative[1 << 16];
    stack_t own = {alternative, 0, sizeof alternative}, other_stack;
    struct sigaction action = {}, other, other_bus;
    action.sa_handler = out_of_bounds;
    action.sa_flags = SA_ONSTACK;
    sigaltstack(&own, &other_stack);
    sigaction(SIGSEGV, &action, &other);
    sigaction(SIGBUS, &action, &other_bus);

    int outcome = FINE;
    if (sigsetjmp(escape, 1)) {
        outcome = OUT_OF_BOUNDS;
    } else {
        while (Fiber* fiber = next()) {
            resume(*fiber);
            if (fiber->state == AT_BARRIER) release(fiber->block);
            if (fiber->state == AT_WARP) release_warp(*fiber);
        }
        for (Fiber& fiber : fibers)
            if (fiber.state != DONE) outcome = DEADLOCK;
    }
    sigaction(SIGSEGV, &other, nullptr);
    sigaction(SIGBUS, &other_bus, nullptr);
    sigaltstack(&other_stack, nullptr);
    return outcome;
}

}  // namespace shim

void __syncthreads() { shim::pause(shim::AT_BARRIER); }
void __nanosleep(unsigned) { shim::pause(shim::SLEEPS); }
unsigned atomicAdd(unsigned* address, unsigned number) {
    const unsigned before = *address;
    *address += number;
    shim::pause(shim::READY);
    return before;
}
int atomicAdd(int* address, int number) { return (int)atomicAdd((unsigned*)address, (unsigned)number); }
unsigned atomicExch(unsigned* address, unsigned number) {
    const unsigned before = *address;
    *address = number;
    return before;
}
