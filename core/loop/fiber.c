/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fiber.c - stacks and switches.
 *
 * makecontext enters a fresh stack once; from then on _setjmp and _longjmp
 * switch without a system call. A stack that ended goes to a pool with its
 * trampoline waiting, so a new fiber is one switch. The scheduler runs on the
 * process's own stack: fibers never switch to each other directly.
 * _FORTIFY_SOURCE is off in this file: its longjmp check refuses the switch.
 * AddressSanitizer is told of each switch but does not instrument this file: a
 * frame that is left by a longjmp would leave its red zones behind.
 */
#undef _FORTIFY_SOURCE
#include "loop/fiber_inner.h"

#include <setjmp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(PH_WITH_ASAN)
#include <sanitizer/common_interface_defs.h>
#include <sanitizer/lsan_interface.h>
#define WITH_ASAN 1
#else
#define WITH_ASAN 0
#endif
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_STACK_REGISTER(lo, hi) 0u
#define VALGRIND_STACK_DEREGISTER(id) ((void)(id))
#endif

enum {
	STACK_SIZE = 256 << 10,
	STACK_POOL_MAX = 256, /* ended stacks kept */
	STACK_RED_ZONE = 512, /* below a parked frame that stays untouched */
};

struct fiber_stack {
	char *low; /* the guard page; usable octets begin a page above */
	jmp_buf env;
	void *fake_stack; /* AddressSanitizer's */
	unsigned valgrind_id;
};

static struct {
	jmp_buf env;
	void *fake_stack;
	const void *stack_low;
	size_t stack_size;
	struct fiber *running;
	struct fiber *pool;
	size_t pool_count;
	size_t page;
} sched;

struct fiber *
fiber_self(void)
{
	return sched.running;
}

static inline void
asan_leave(void **fake_stack, const void *low, size_t size)
{
#if WITH_ASAN
	__sanitizer_start_switch_fiber(fake_stack, low, size);
#else
	(void)fake_stack;
	(void)low;
	(void)size;
#endif
}

static inline void
asan_enter(void *fake_stack, const void **low, size_t *size)
{
#if WITH_ASAN
	__sanitizer_finish_switch_fiber(fake_stack, low, size);
#else
	(void)fake_stack;
	(void)low;
	(void)size;
#endif
}

static char *
stack_usable(const struct fiber_stack *stack)
{
	return stack->low + sched.page;
}

/* From the running fiber back to the scheduler; returns when resumed. */
void
fiber_switch_out(void)
{
	struct fiber *self = sched.running;

	self->parked_at = __builtin_frame_address(0);
	if (_setjmp(self->stack->env) == 0) {
		asan_leave(&self->stack->fake_stack, sched.stack_low,
		    sched.stack_size);
		_longjmp(sched.env, 1);
	}
	asan_enter(self->stack->fake_stack, &sched.stack_low,
	    &sched.stack_size);
}

/* Where every stack begins and, between two fibers, waits in the pool. */
static void
fiber_trampoline(void)
{
	asan_enter(NULL, &sched.stack_low, &sched.stack_size);
	for (;;) {
		struct fiber *self = sched.running;

		self->fn(self->arg);
		self->ended = true;
		fiber_switch_out();
	}
}

static struct fiber *
stack_map(void)
{
	char *low = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	struct fiber *fiber;
	char *top;

	ph_assert(low != MAP_FAILED);
	ph_assert(mprotect(low, sched.page, PROT_NONE) == 0);
	top = low + STACK_SIZE - sizeof(struct fiber_stack);
	top -= (uintptr_t)top % 64;
	fiber = (struct fiber *)(void *)(top - 64 -
	    (sizeof(struct fiber) + 63) / 64 * 64);
	fiber->stack = (struct fiber_stack *)(void *)top;
	fiber->stack->low = low;
	fiber->stack->valgrind_id = VALGRIND_STACK_REGISTER(low + sched.page,
	    low + STACK_SIZE);
#if WITH_ASAN
	__lsan_register_root_region(low + sched.page,
	    STACK_SIZE - sched.page);
#endif
	return fiber;
}

static void
stack_unmap(struct fiber *fiber)
{
	char *low = fiber->stack->low;

	VALGRIND_STACK_DEREGISTER(fiber->stack->valgrind_id);
#if WITH_ASAN
	__lsan_unregister_root_region(low + sched.page,
	    STACK_SIZE - sched.page);
#endif
	munmap(low, STACK_SIZE);
}

/* First entry of a fresh stack: run until the fiber parks or ends. */
static void
stack_enter_fresh(struct fiber *fiber)
{
	ucontext_t context, back;

	getcontext(&context);
	context.uc_stack.ss_sp = stack_usable(fiber->stack);
	context.uc_stack.ss_size =
	    (size_t)((char *)fiber - stack_usable(fiber->stack));
	context.uc_link = NULL;
	makecontext(&context, fiber_trampoline, 0);
	fiber->fresh = false;
	swapcontext(&back, &context);
}

void
fiber_switch_in(struct fiber *fiber)
{
	sched.running = fiber;
	if (_setjmp(sched.env) == 0) {
		asan_leave(&sched.fake_stack, stack_usable(fiber->stack),
		    (size_t)((char *)fiber - stack_usable(fiber->stack)));
		if (fiber->fresh)
			stack_enter_fresh(fiber);
		else
			_longjmp(fiber->stack->env, 1);
	}
	asan_enter(sched.fake_stack, NULL, NULL);
	sched.running = NULL;
}

struct fiber *
fiber_obtain(void)
{
	struct fiber *fiber = sched.pool;
	struct fiber_stack *stack;
	bool fresh = fiber == NULL;

	if (sched.page == 0)
		sched.page = (size_t)sysconf(_SC_PAGESIZE);
	if (fresh) {
		fiber = stack_map();
	} else {
		sched.pool = fiber->next;
		sched.pool_count--;
	}
	stack = fiber->stack;
	memset(fiber, 0, sizeof(*fiber));
	fiber->stack = stack;
	fiber->fresh = fresh;
	return fiber;
}

void
fiber_release(struct fiber *fiber)
{
	if (sched.pool_count >= STACK_POOL_MAX) {
		stack_unmap(fiber);
		return;
	}
	fiber->next = sched.pool;
	sched.pool = fiber;
	sched.pool_count++;
}

void
fiber_pool_empty(void)
{
	while (sched.pool != NULL) {
		struct fiber *fiber = sched.pool;

		sched.pool = fiber->next;
		stack_unmap(fiber);
	}
	sched.pool_count = 0;
}

void
fiber_trim_stack(struct fiber *fiber)
{
	char *low = stack_usable(fiber->stack);
	uintptr_t end = (uintptr_t)fiber->parked_at - STACK_RED_ZONE;
	size_t unused;

	end &= ~(uintptr_t)(sched.page - 1);
	if (fiber->fresh || end <= (uintptr_t)low)
		return;
	unused = (size_t)(end - (uintptr_t)low);
	madvise(low, unused, MADV_DONTNEED);
}
