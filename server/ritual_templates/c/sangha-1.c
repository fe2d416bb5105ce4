// {{name}}: opens a transformation, named by the parameter "theme".      ABI: sangha-1
//
// The input is {"state": {…}, "parameters": {…}, "intention": "…"}: well-formed JSON, so reading it needs no error but "it is
// not there" (0). A value is known by the pointer to its first byte; texts are compared and copied as they are written.
// The answer names only what it changes of the state.

#define EXPORT(name) __attribute__((export_name(#name)))

// ---- reading ----

static const char *blanks(const char *p) {
  while (*p <= ' ') p++;
  return p;
}

static const char *skip_string(const char *p) {
  for (p++; *p != '"'; p++)
    if (*p == '\\') p++;
  return p + 1;
}

// To the byte after a value.
static const char *skip(const char *p) {
  int depth = 0;
  do {
    if (*p == '"') {
      p = skip_string(p);
      continue;
    }
    if (*p == '{' || *p == '[') depth++;
    if (*p == '}' || *p == ']') depth--;
    p++;
  } while (depth || !(*p <= ' ' || *p == ',' || *p == ':' || *p == '}' || *p == ']'));
  return p;
}

// The first element of an array or name of an object, the one after that which ends here, or 0.
static const char *first(const char *p) {
  p = blanks(p + 1);
  return *p == ']' || *p == '}' ? 0 : p;
}

static const char *after(const char *end) {
  end = blanks(end);
  return *end == ',' ? blanks(end + 1) : 0;
}

static const char *value_of(const char *name) { return blanks(blanks(skip_string(name)) + 1); }

static int same(const char *a, const char *b) {
  const char *end = skip_string(a);
  while (a < end && *a == *b) a++, b++;
  return a == end;
}

static const char *member(const char *object, const char *name) {
  for (const char *p = object ? first(object) : 0; p; p = after(skip(value_of(p))))
    if (same(p, name)) return value_of(p);
  return 0;
}

static int has(const char *array, const char *string) {
  for (const char *p = first(array); p; p = after(skip(p)))
    if (same(p, string)) return 1;
  return 0;
}

// ---- writing ----

// Fresh pages each time: an instance lives for one run.
EXPORT(alloc) char *alloc(int bytes) {
  unsigned long before = __builtin_wasm_memory_grow(0, (bytes + 65535) / 65536);
  if (before == (unsigned long)-1) __builtin_trap();
  return (char *)(before * 65536);
}

static char *out, *at;

static void put(const char *from, const char *end) {
  while (from < end) *at++ = *from++;
}

static void say(const char *text) {
  while (*text) *at++ = *text++;
}

// ---- the ritual ----

// Gives back where the answer is: the pointer in the upper half, the length in the lower one.
EXPORT(execute) long long execute(const char *input, int length) {
  const char *open = member(member(input, "\"state\""), "\"transformations\"");
  const char *theme = member(member(input, "\"parameters\""), "\"theme\"");
  if (!theme || *theme != '"') theme = "\"a beginning\"";

  at = out = alloc(length * 3 + 512);  // all of the input, the theme twice more, and the text around them
  if (has(open, theme)) {
    say("{\"state\":{},\"log\":[\"it was under way already\"]}");
  } else {
    say("{\"state\":{\"transformations\":");
    put(open, skip(open) - 1);  // without the closing bracket
    if (first(open)) say(",");
    put(theme, skip(theme));
    say("]},\"integration_required\":[");
    put(theme, skip(theme));
    say("],\"log\":[\"it is under way\"]}");
  }
  return ((long long)(unsigned long)out << 32) | (at - out);
}
