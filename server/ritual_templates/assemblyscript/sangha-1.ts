// {{name}}: opens a transformation, named by the parameter "theme".      ABI: sangha-1
//
// The input is {"state": {…}, "parameters": {…}, "intention": "…"}: well-formed JSON, so reading it needs no error but "it is
// not there" (-1). A value is known by the index of its first character; texts are compared and copied as they are written.
// The answer names only what it changes of the state.

const QUOTE: i32 = 0x22, BACKSLASH: i32 = 0x5c, COMMA: i32 = 0x2c, COLON: i32 = 0x3a, BLANK: i32 = 0x20;

let json: string = "";

function at(i: i32): i32 {
  return json.charCodeAt(i);
}
function opens(c: i32): bool {
  return c == 0x5b || c == 0x7b; // [ {
}
function closes(c: i32): bool {
  return c == 0x5d || c == 0x7d; // ] }
}
function blanks(i: i32): i32 {
  while (at(i) <= BLANK) i++;
  return i;
}
function skipString(i: i32): i32 {
  for (i++; at(i) != QUOTE; i++) if (at(i) == BACKSLASH) i++;
  return i + 1;
}

// To the character after a value.
function skip(i: i32): i32 {
  let depth = 0;
  do {
    if (at(i) == QUOTE) {
      i = skipString(i);
    } else {
      if (opens(at(i))) depth++;
      if (closes(at(i))) depth--;
      i++;
    }
  } while (depth > 0 || !(at(i) <= BLANK || at(i) == COMMA || at(i) == COLON || closes(at(i))));
  return i;
}

// The first element of an array or name of an object, the one after that which ends here, or -1.
function first(i: i32): i32 {
  i = blanks(i + 1);
  return closes(at(i)) ? -1 : i;
}
function after(end: i32): i32 {
  end = blanks(end);
  return at(end) == COMMA ? blanks(end + 1) : -1;
}
function valueOf(name: i32): i32 {
  return blanks(blanks(skipString(name)) + 1);
}
function text(i: i32): string {
  return json.substring(i, skip(i));
}

function member(object: i32, name: string): i32 {
  for (let i = object < 0 ? -1 : first(object); i >= 0; i = after(skip(valueOf(i)))) {
    if (text(i) == name) return valueOf(i);
  }
  return -1;
}
function has(array: i32, string: string): bool {
  for (let i = first(array); i >= 0; i = after(skip(i))) {
    if (text(i) == string) return true;
  }
  return false;
}

// ---- the ritual ----

export function alloc(bytes: i32): usize {
  return heap.alloc(bytes);
}

// Gives back where the answer is: the pointer in the upper half, the length in the lower one.
export function execute(input: usize, length: i32): u64 {
  json = String.UTF8.decodeUnsafe(input, length);
  const open = member(member(0, '"state"'), '"transformations"');
  const given = member(member(0, '"parameters"'), '"theme"');
  const theme = given >= 0 && at(given) == QUOTE ? text(given) : '"a beginning"';
  if (has(open, theme)) return packed('{"state":{},"log":["it was under way already"]}');

  const others = json.substring(open, skip(open) - 1) + (first(open) >= 0 ? "," : "");
  const state = '{"transformations":' + others + theme + "]}";
  return packed('{"state":' + state + ',"integration_required":[' + theme + '],"log":["it is under way"]}');
}

function packed(answer: string): u64 {
  const utf8 = String.UTF8.encode(answer);
  return ((<u64>changetype<usize>(utf8)) << 32) | <u64>utf8.byteLength;
}
