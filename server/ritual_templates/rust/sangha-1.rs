//! {{name}}: opens a transformation, named by the parameter "theme".      ABI: sangha-1
//!
//! The input is {"state": {…}, "parameters": {…}, "intention": "…"}: well-formed JSON, so reading it needs no error but
//! "it is not there". Texts are compared and copied as they are written. The answer names only what it changes of the state.
#![no_std]

use core::arch::wasm32;

// ---- reading: every function takes JSON from some byte on ----

fn blanks(json: &[u8]) -> &[u8] {
    let count = json.iter().take_while(|byte| **byte <= b' ').count();
    &json[count..]
}

/// How long the value is that stands here.
fn length(json: &[u8]) -> usize {
    let (mut depth, mut in_string, mut at) = (0, false, 0);
    loop {
        match (json[at], in_string) {
            (b'\\', true) => at += 1,
            (b'"', _) => in_string = !in_string,
            (b'{' | b'[', false) => depth += 1,
            (b'}' | b']', false) => depth -= 1,
            _ => {}
        }
        at += 1;
        let ends = matches!(json[at], 0..=b' ' | b',' | b':' | b'}' | b']');
        if depth == 0 && !in_string && (ends || json[0] == b'"') {
            return at;
        }
    }
}

fn value(json: &[u8]) -> &[u8] {
    &json[..length(json)]
}

/// The first element of an array (the first name of an object).
fn first(json: &[u8]) -> Option<&[u8]> {
    let json = blanks(&json[1..]);
    (!matches!(json[0], b']' | b'}')).then_some(json)
}

/// The one behind the element that stands here.
fn next(json: &[u8]) -> Option<&[u8]> {
    let json = blanks(&json[length(json)..]);
    (json[0] == b',').then(|| blanks(&json[1..]))
}

fn of_name(json: &[u8]) -> &[u8] {
    blanks(&blanks(&json[length(json)..])[1..])
}

fn member<'a>(object: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut here = first(object);
    while let Some(json) = here {
        if value(json) == name {
            return Some(of_name(json));
        }
        here = next(of_name(json));
    }
    None
}

fn has(array: &[u8], string: &[u8]) -> bool {
    let mut here = first(array);
    while let Some(json) = here {
        if value(json) == string {
            return true;
        }
        here = next(json);
    }
    false
}

// ---- writing ----

/// Fresh pages each time: an instance lives for one run.
#[no_mangle]
pub extern "C" fn alloc(bytes: usize) -> *mut u8 {
    let before = wasm32::memory_grow(0, (bytes + 65535) / 65536);
    if before == usize::MAX {
        wasm32::unreachable()
    }
    (before * 65536) as *mut u8
}

struct Answer {
    room: &'static mut [u8],
    length: usize,
}

impl Answer {
    fn new(most: usize) -> Answer {
        Answer { room: unsafe { core::slice::from_raw_parts_mut(alloc(most), most) }, length: 0 }
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Answer {
        self.room[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
        self
    }

    /// The pointer in the upper half, the length in the lower one.
    fn packed(&self) -> u64 {
        (self.room.as_ptr() as u64) << 32 | self.length as u64
    }
}

// ---- the ritual ----

#[no_mangle]
pub extern "C" fn execute(input: *const u8, length: usize) -> u64 {
    let input = unsafe { core::slice::from_raw_parts(input, length) };
    let open = member(input, b"\"state\"").and_then(|state| member(state, b"\"transformations\""));
    let open = value(open.unwrap_or(b"[] "));
    let theme = member(input, b"\"parameters\"").and_then(|parameters| member(parameters, b"\"theme\""));
    let theme = theme.map(value).filter(|theme| theme[0] == b'"').unwrap_or(b"\"a beginning\"");

    let mut answer = Answer::new(length * 3 + 512); // all of the input, the theme twice more, and the text around them
    if has(open, theme) {
        return answer.put(b"{\"state\":{},\"log\":[\"it was under way already\"]}").packed();
    }
    answer.put(b"{\"state\":{\"transformations\":").put(&open[..open.len() - 1]);
    if first(open).is_some() {
        answer.put(b",");
    }
    answer.put(theme).put(b"]},\"integration_required\":[").put(theme);
    answer.put(b"],\"log\":[\"it is under way\"]}").packed()
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    wasm32::unreachable()
}
