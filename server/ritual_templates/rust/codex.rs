//! {{name}}: the Sage gains a quarter of what it lacks; from 0.7 on, a lantern is seen.      ABI: codex
#![no_std]

mod codex {
    #[link(wasm_import_module = "codex")]
    extern "C" {
        fn log(text: *const u8, length: usize);
        fn get_archetype_activation(name: *const u8, length: usize) -> f64;
        fn set_archetype_activation(name: *const u8, length: usize, strength: f64);
        fn get_energy_amplitude(name: *const u8, length: usize) -> f64;
        fn set_energy_amplitude(name: *const u8, length: usize, level: f64);
        fn add_symbol(name: *const u8, length: usize);
        fn get_random() -> f64;
    }

    pub fn say(text: &str) {
        unsafe { log(text.as_ptr(), text.len()) }
    }
    pub fn archetype(name: &str) -> f64 {
        unsafe { get_archetype_activation(name.as_ptr(), name.len()) }
    }
    pub fn set_archetype(name: &str, strength: f64) {
        unsafe { set_archetype_activation(name.as_ptr(), name.len(), strength) }
    }
    #[allow(dead_code)]
    pub fn energy(name: &str) -> f64 {
        unsafe { get_energy_amplitude(name.as_ptr(), name.len()) }
    }
    #[allow(dead_code)]
    pub fn set_energy(name: &str, level: f64) {
        unsafe { set_energy_amplitude(name.as_ptr(), name.len(), level) }
    }
    pub fn symbol(name: &str) {
        unsafe { add_symbol(name.as_ptr(), name.len()) }
    }
    #[allow(dead_code)]
    pub fn chance() -> f64 {
        unsafe { get_random() }
    }
}

/// 0 is success; with anything else the ritual fails, and nothing is changed.
#[no_mangle]
pub extern "C" fn execute_ritual() -> i32 {
    let mut sage = codex::archetype("Sage");
    sage += (1.0 - sage) / 4.0;
    codex::set_archetype("Sage", sage);
    codex::say("the Sage comes nearer");
    if sage >= 0.7 {
        codex::symbol("lantern");
    }
    0
}

/// Optional: how strongly the ritual resonated, as a number for the result.
#[no_mangle]
pub extern "C" fn get_resonance() -> f64 {
    codex::archetype("Sage")
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}
