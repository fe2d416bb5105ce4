// {{name}}: the Sage gains a quarter of what it lacks; from 0.7 on, a lantern is seen.      ABI: codex

#define CODEX(name) __attribute__((import_module("codex"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))
#define TEXT(literal) (literal), (sizeof(literal) - 1)

CODEX(log) void codex_log(const char *text, int length);
CODEX(get_archetype_activation) double get_archetype(const char *name, int length);
CODEX(set_archetype_activation) void set_archetype(const char *name, int length, double strength);
CODEX(get_energy_amplitude) double get_energy(const char *name, int length);
CODEX(set_energy_amplitude) void set_energy(const char *name, int length, double level);
CODEX(add_symbol) void add_symbol(const char *name, int length);
CODEX(get_random) double get_random(void);

static double sage;

// 0 is success; with anything else the ritual fails, and nothing is changed.
EXPORT(execute_ritual) int execute_ritual(void) {
  sage = get_archetype(TEXT("Sage"));
  sage += (1 - sage) / 4;
  set_archetype(TEXT("Sage"), sage);
  codex_log(TEXT("the Sage comes nearer"));
  if (sage >= 0.7) add_symbol(TEXT("lantern"));
  return 0;
}

// Optional: how strongly the ritual resonated, as a number for the result.
EXPORT(get_resonance) double get_resonance(void) { return sage; }
