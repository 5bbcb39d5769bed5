/*
 * A stand-in for a processor that this machine does not have: preloaded, it answers CPUID as a processor without some
 * instructions would, so that libraries which look for them (ONNX Runtime) choose the code that they run there. That code
 * then runs natively. It takes away and adds nothing; what does not ask, JavaScript's own arithmetic for one, is as before.
 *
 *   UNFOLD_STAND_IN_PROCESSOR=avx512   without VNNI, AMX and BF16
 *   UNFOLD_STAND_IN_PROCESSOR=avx2     without AVX-512 as well
 *   UNFOLD_STAND_IN_PROCESSOR=sse41    without AVX as well
 *
 * Linux lets a thread, and those it starts, have SIGSEGV in place of CPUID (arch_prctl(2), ARCH_SET_CPUID) where the
 * processor can do that (`cpuid_fault` in /proc/cpuinfo). Exits with 99 where it cannot.
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define ARCH_SET_CPUID 0x1012
#define CANNOT 99
#define BIT(n) (1u << (n))

typedef int (*sigaction_t)(int, const struct sigaction*, struct sigaction*);

/* Each has less than those before it. */
static enum { ALL, AVX512, AVX2, SSE41 } processor;
/* What the program has installed for SIGSEGV: V8 and Rust both have something there. */
static struct sigaction theirs;

static long allow_cpuid(unsigned long on) { return syscall(SYS_arch_prctl, ARCH_SET_CPUID, on); }

static sigaction_t real_sigaction(void) { return (sigaction_t)dlsym(RTLD_NEXT, "sigaction"); }

/* Intel's manual, volume 2, CPUID, leaves 1 and 7. */
static void take_away(uint32_t leaf, uint32_t sub, uint32_t* a, uint32_t* b, uint32_t* c, uint32_t* d) {
  if (leaf == 1 && processor >= SSE41) *c &= ~(BIT(12) | BIT(28) | BIT(29)); /* FMA, AVX, F16C */
  if (leaf != 7) return;
  if (sub == 0) {
    *c &= ~BIT(11);                                   /* AVX512_VNNI */
    *d &= ~(BIT(22) | BIT(23) | BIT(24) | BIT(25));   /* AMX-BF16, AVX512_FP16, AMX-TILE, AMX-INT8 */
    if (processor < AVX2) return;
    *b &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31)); /* F DQ IFMA PF ER CD BW VL */
    *c &= ~(BIT(1) | BIT(6) | BIT(12) | BIT(14));     /* VBMI, VBMI2, BITALG, VPOPCNTDQ */
    *d &= ~(BIT(2) | BIT(3) | BIT(8));                /* 4VNNIW, 4FMAPS, VP2INTERSECT */
    if (processor >= SSE41) *b &= ~BIT(5);            /* AVX2 */
  } else if (sub == 1) {
    *a &= ~(BIT(4) | BIT(5) | BIT(21) | BIT(23));     /* AVX-VNNI, AVX512_BF16, AMX-FP16, AVX-IFMA */
    *d &= ~(BIT(4) | BIT(5) | BIT(10) | BIT(19));     /* AVX-VNNI-INT8, AVX-NE-CONVERT, AVX-VNNI-INT16, AVX10 */
  }
}

static void answer(greg_t* registers) {
  uint32_t leaf = registers[REG_RAX], sub = registers[REG_RCX], a, b, c, d;
  allow_cpuid(1);
  __cpuid_count(leaf, sub, a, b, c, d);
  allow_cpuid(0);
  take_away(leaf, sub, &a, &b, &c, &d);
  registers[REG_RAX] = a;
  registers[REG_RBX] = b;
  registers[REG_RCX] = c;
  registers[REG_RDX] = d;
  registers[REG_RIP] += 2; /* the length of the instruction */
}

static void on_fault(int number, siginfo_t* info, void* context) {
  greg_t* registers = ((ucontext_t*)context)->uc_mcontext.gregs;
  if (info->si_code == SI_KERNEL && memcmp((void*)registers[REG_RIP], "\x0f\xa2", 2) == 0) {
    answer(registers);
  } else if (theirs.sa_flags & SA_SIGINFO) {
    theirs.sa_sigaction(number, info, context);
  } else if (theirs.sa_handler != SIG_DFL && theirs.sa_handler != SIG_IGN) {
    theirs.sa_handler(number);
  } else {
    real_sigaction()(number, &theirs, NULL); /* and the fault again, to die of it */
  }
}

/* What the program installs for SIGSEGV comes after ours. */
int sigaction(int number, const struct sigaction* action, struct sigaction* old) {
  if (number != SIGSEGV || processor == ALL) return real_sigaction()(number, action, old);
  if (old != NULL) *old = theirs;
  if (action != NULL) theirs = *action;
  return 0;
}

/* In C's own library it does not come by `sigaction`. GCC uses it. */
sighandler_t signal(int number, sighandler_t handler) {
  struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
  return sigaction(number, &action, &old) == 0 ? old.sa_handler : SIG_ERR;
}

__attribute__((constructor)) static void begin(void) {
  const char* wanted = getenv("UNFOLD_STAND_IN_PROCESSOR");
  if (wanted == NULL) return;
  if (strcmp(wanted, "avx512") == 0) processor = AVX512;
  if (strcmp(wanted, "avx2") == 0) processor = AVX2;
  if (strcmp(wanted, "sse41") == 0) processor = SSE41;
  struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK};
  if (processor == ALL || real_sigaction()(SIGSEGV, &ours, &theirs) != 0 || allow_cpuid(0) != 0) _exit(CANNOT);
}
